#include "arch/hf_forms.h"

#include <cstring>

#include "arch/tensor_views.h"
#include "containers/quote.h"

namespace carat {
namespace {

/// Entries + 1, rounded once.
class PlusOne final : public TensorData {
 public:
  explicit PlusOne(Tensor source) : source_(std::move(source)) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::vector<float> row(static_cast<size_t>(source_.columns()));
    for (int64_t i = 0; i < count; ++i) {
      CARAT_DO(source_.read_rows(first + i, 1, row.data()));
      for (float& x : row) x += 1.0f;
      std::memcpy(out + static_cast<size_t>(i) * row.size() * sizeof(float), row.data(),
                  row.size() * sizeof(float));
    }
    return {};
  }

 private:
  Tensor source_;
};

/// Row r is column r of the source, whose rows are read once for each slab of rows.
class Transposed final : public TensorData {
 public:
  explicit Transposed(Tensor source) : source_(std::move(source)), item_(source_.encoding->block_bytes) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const int64_t columns = source_.rows();
    const Bytes mapped = source_.data->mapped();
    std::vector<uint8_t> copy(mapped.empty() ? source_.row_bytes() : 0);
    for (int64_t c = 0; c < columns; ++c) {
      const uint8_t* row = copy.data();
      if (mapped.empty())
        CARAT_DO(source_.data->read_bytes(c, 1, copy.data()));
      else
        row = mapped.data() + static_cast<uint64_t>(c) * source_.row_bytes();
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(out + static_cast<uint64_t>(r * columns + c) * item_,
                    row + static_cast<uint64_t>(first + r) * item_, item_);
    }
    return {};
  }

 private:
  Tensor source_;
  uint64_t item_;
};

/// Rows [all queries, all keys, all values] of one that holds, for each key-value head, its queries, its key
/// and its value.
class ByPart final : public TensorData {
 public:
  ByPart(Tensor source, const HeadCounts& n) : source_(std::move(source)), n_(n) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const uint64_t row_bytes = source_.row_bytes();
    for (int64_t i = 0; i < count; ++i)
      CARAT_DO(
          source_.data->read_bytes(source_row(first + i), 1, out + static_cast<uint64_t>(i) * row_bytes));
    return {};
  }
  void release(int64_t, int64_t) const override { source_.data->release(0, source_.rows()); }

 private:
  int64_t source_row(int64_t row) const {
    const int64_t group = n_.heads / n_.kv_heads, head = row / n_.head_dim, d = row % n_.head_dim;
    const int64_t of_group = group + 2;  // heads of a group in the source
    int64_t from = head / group * of_group + head % group;
    if (head >= n_.heads) {
      const int64_t other = head - n_.heads;
      from = other % n_.kv_heads * of_group + group + other / n_.kv_heads;
    }
    return from * n_.head_dim + d;
  }

  Tensor source_;
  HeadCounts n_;
};

}  // namespace

Result<Tensor> from_hf_form(const Tensor& tensor, HfForm form, const HeadCounts& n) {
  Tensor out = tensor;
  switch (form) {
    case HfForm::same:
      break;
    case HfForm::less_one:
      out = as_f32(tensor);
      out.data = std::make_shared<PlusOne>(out);
      break;
    case HfForm::transposed:
      if (tensor.shape.size() != 2)
        return bad_data("tensor {} has {} dimensions, not 2", quote(tensor.name), tensor.shape.size());
      std::swap(out.shape[0], out.shape[1]);
      out.data = std::make_shared<Transposed>(tensor);
      break;
    case HfForm::by_key_value_head:
      if (tensor.shape.empty() || n.kv_heads < 1 || n.heads % n.kv_heads != 0 ||
          tensor.shape[0] != (n.heads + 2 * n.kv_heads) * n.head_dim)
        return bad_data("tensor {} has {} rows, which are not {} query heads and {} key-value heads of {}",
                        quote(tensor.name), tensor.shape.empty() ? 0 : tensor.shape[0], n.heads, n.kv_heads,
                        n.head_dim);
      out.data = std::make_shared<ByPart>(tensor, n);
      break;
  }
  return out;
}

}  // namespace carat
