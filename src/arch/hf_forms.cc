#include "arch/hf_forms.h"

#include <algorithm>
#include <cstring>

#include "arch/tensor_views.h"
#include "containers/quote.h"
#include "encodings/all.h"

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

/// Which numbers of a tensor are rows of the result: every `step`th column from `first` on of the first
/// `take` rows of each `of`.
struct Transposition {
  int64_t of, take, first = 0, step = 1;
};

/// Columns as rows. The source's rows are read once for each slab of rows.
class Columns final : public TensorData {
 public:
  Columns(Tensor source, const Transposition& what)
      : source_(std::move(source)),
        what_(what),
        rows_(source_.columns() / what.step),
        item_(source_.encoding->block_bytes) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const Bytes mapped = source_.data->mapped();
    std::vector<uint8_t> copy(mapped.empty() ? source_.row_bytes() : 0);
    for (int64_t done = 0; done < count;) {
      const int64_t matrix = (first + done) / rows_, begin = (first + done) % rows_;
      const int64_t n = std::min(count - done, rows_ - begin);
      for (int64_t c = 0; c < what_.take; ++c) {
        const uint8_t* row = copy.data();
        if (mapped.empty())
          CARAT_DO(source_.data->read_bytes(matrix * what_.of + c, 1, copy.data()));
        else
          row = mapped.data() + static_cast<uint64_t>(matrix * what_.of + c) * source_.row_bytes();
        row += static_cast<uint64_t>(what_.first + begin * what_.step) * item_;
        for (int64_t r = 0; r < n; ++r)
          std::memcpy(out + static_cast<uint64_t>((done + r) * what_.take + c) * item_,
                      row + static_cast<uint64_t>(r * what_.step) * item_, item_);
      }
      done += n;
    }
    return {};
  }
  /// A matrix is needed up to its last column.
  void release(int64_t first, int64_t count) const override {
    if (count == 0) return;  // and rows_ may be 0
    const int64_t begin = first / rows_, end = (first + count) / rows_;
    if (end > begin) source_.data->release(begin * what_.of, (end - begin) * what_.of);
  }

 private:
  Tensor source_;
  Transposition what_;
  int64_t rows_;  ///< of the result, for each matrix of the source
  uint64_t item_;
};

/// The rows [from, from + take) of each `of`.
class SomeRows final : public TensorData {
 public:
  SomeRows(Tensor source, int64_t of, int64_t from, int64_t take)
      : source_(std::move(source)), of_(of), from_(from), take_(take) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    for (int64_t done = 0; done < count;) {
      const int64_t n = std::min(count - done, take_ - (first + done) % take_);
      CARAT_DO(source_.data->read_bytes(source_row(first + done), n,
                                        out + static_cast<uint64_t>(done) * source_.row_bytes()));
      done += n;
    }
    return {};
  }
  void prepare(int64_t first, int64_t count) const override {
    if (count > 0)
      source_.data->prepare(source_row(first), source_row(first + count - 1) + 1 - source_row(first));
  }
  void release(int64_t first, int64_t count) const override {
    if (count > 0)
      source_.data->release(source_row(first), source_row(first + count - 1) + 1 - source_row(first));
  }

 private:
  int64_t source_row(int64_t row) const { return row / take_ * of_ + from_ + row % take_; }

  Tensor source_;
  int64_t of_, from_, take_;
};

/// Every other entry of each row, from `first` on.
class OtherEntries final : public TensorData {
 public:
  OtherEntries(Tensor source, int64_t first) : source_(std::move(source)), first_(first) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const uint64_t item = source_.encoding->block_bytes;
    std::vector<uint8_t> row(source_.row_bytes());
    for (int64_t i = 0; i < count; ++i) {
      CARAT_DO(source_.data->read_bytes(first + i, 1, row.data()));
      for (int64_t j = first_; j < source_.columns(); j += 2, out += item)
        std::memcpy(out, row.data() + static_cast<uint64_t>(j) * item, item);
    }
    return {};
  }

 private:
  Tensor source_;
  int64_t first_;
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

/// Columns can only be taken of numbers that stand alone.
Tensor transpose(const Tensor& tensor, const Transposition& what) {
  const Tensor source = tensor.encoding->is_float ? tensor : as_f32(tensor);
  Tensor out = source;
  out.shape.resize(out.shape.size() - 2);
  out.shape.insert(out.shape.end(), {source.columns() / what.step, what.take});
  out.data = std::make_shared<Columns>(source, what);
  return out;
}

Result<Tensor> one_of_pairs(const Tensor& tensor, int64_t first, bool along_rows) {
  const size_t rank = tensor.shape.size();
  const bool bias = rank == 2;
  if (rank < 2 || tensor.shape[rank - (along_rows ? 2 : 1)] % 2 != 0)
    return bad_data("tensor {} has no pairs of gates and ups", quote(tensor.name));
  Tensor out = tensor;
  if (along_rows) {
    out.shape[rank - 2] /= 2;
    out.data = std::make_shared<SomeRows>(tensor, 2, first, 1);
  } else if (bias) {
    out.shape.back() /= 2;
    out.data = std::make_shared<OtherEntries>(tensor, first);
  } else {
    const int64_t rows = tensor.shape[rank - 2];
    return transpose(tensor, {.of = rows, .take = rows, .first = first, .step = 2});
  }
  return out;
}

Result<Tensor> part_of_latent(const Tensor& tensor, bool keys, const HeadCounts& n) {
  const int64_t of = n.plain + n.value;
  if (tensor.shape.size() != 2 || n.heads < 1 || n.plain < 1 || n.value < 1 ||
      tensor.shape[0] != n.heads * of)
    return bad_data("tensor {} has {} rows, which are not {} heads with {} for a key and {} for a value",
                    quote(tensor.name), tensor.shape.empty() ? 0 : tensor.shape[0], n.heads, n.plain,
                    n.value);
  Tensor heads = tensor;
  heads.shape = {n.heads, of, tensor.shape[1]};
  if (keys) return transpose(heads, {.of = of, .take = n.plain});
  Tensor out = tensor;
  out.shape = {n.heads, n.value, tensor.shape[1]};
  out.data = std::make_shared<SomeRows>(tensor, of, n.plain, n.value);
  return out;
}

}  // namespace

Result<Tensor> from_hf_form(const Tensor& tensor, HfForm form, const HeadCounts& n) {
  Tensor out = tensor;
  const bool codes = tensor.encoding == &encoding_of<MXFP4>();
  switch (form) {
    case HfForm::same:
      break;
    case HfForm::less_one:
      out = as_f32(tensor);
      out.data = std::make_shared<PlusOne>(out);
      break;
    case HfForm::transposed:
      if (tensor.shape.size() < 2)
        return bad_data("tensor {} has {} dimensions, not 2", quote(tensor.name), tensor.shape.size());
      if (!codes) {
        const int64_t rows = tensor.shape[tensor.shape.size() - 2];
        out = transpose(tensor, {.of = rows, .take = rows});
      }
      break;
    case HfForm::first_of_pairs:
    case HfForm::second_of_pairs:
      return one_of_pairs(tensor, form == HfForm::first_of_pairs ? 0 : 1, codes);
    case HfForm::latent_keys:
    case HfForm::latent_values:
      return part_of_latent(tensor, form == HfForm::latent_keys, n);
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

size_t rank_in_hf(const TensorRule& rule) {
  const bool latent = rule.form == HfForm::latent_keys || rule.form == HfForm::latent_values;
  return latent ? 2 : rule.shape.size();
}

}  // namespace carat
