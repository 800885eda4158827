#include "arch/hf_merge.h"

#include <array>
#include <cstring>
#include <mutex>

#include "arch/hf_forms.h"
#include "arch/tensor_views.h"
#include "containers/quote.h"

namespace carat {
namespace {

/// Rows of two tensors in turns: so many of one, so many of the other.
class Turns final : public TensorData {
 public:
  Turns(Tensor a, int64_t of_a, Tensor b, int64_t of_b)
      : a_(std::move(a)), b_(std::move(b)), of_a_(of_a), of_b_(of_b) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    for (int64_t done = 0; done < count;) {
      const int64_t turn = (first + done) / (of_a_ + of_b_), at = (first + done) % (of_a_ + of_b_);
      const bool from_a = at < of_a_;
      const int64_t n = std::min(count - done, (from_a ? of_a_ : of_a_ + of_b_) - at);
      const int64_t row = from_a ? turn * of_a_ + at : turn * of_b_ + at - of_a_;
      CARAT_DO(
          (from_a ? a_ : b_).data->read_bytes(row, n, out + static_cast<uint64_t>(done) * a_.row_bytes()));
      done += n;
    }
    return {};
  }
  void release(int64_t first, int64_t count) const override {
    const int64_t begin = first / (of_a_ + of_b_), end = (first + count) / (of_a_ + of_b_);
    if (end == begin) return;
    a_.data->release(begin * of_a_, (end - begin) * of_a_);
    b_.data->release(begin * of_b_, (end - begin) * of_b_);
  }

 private:
  Tensor a_, b_;
  int64_t of_a_, of_b_;
};

/// Entries of two tensors in turns.
class EntriesInTurn final : public TensorData {
 public:
  EntriesInTurn(Tensor a, Tensor b) : a_(std::move(a)), b_(std::move(b)) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const uint64_t item = a_.encoding->block_bytes;
    std::vector<uint8_t> a(a_.row_bytes()), b(a_.row_bytes());
    for (int64_t i = 0; i < count; ++i) {
      CARAT_DO(a_.data->read_bytes(first + i, 1, a.data()));
      CARAT_DO(b_.data->read_bytes(first + i, 1, b.data()));
      for (uint64_t at = 0; at < a.size(); at += item, out += 2 * item) {
        std::memcpy(out, a.data() + at, item);
        std::memcpy(out + item, b.data() + at, item);
      }
    }
    return {};
  }

 private:
  Tensor a_, b_;
};

/// Transposed matrices are made whole, once: writers read row by row, and a row is a column of all rows of
/// the source. Two are kept, since threads pass from one to the next.
class WholeMatrices final : public TensorData {
 public:
  explicit WholeMatrices(Tensor source)
      : source_(std::move(source)), rows_(source_.shape[source_.shape.size() - 2]) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const uint64_t row_bytes = source_.row_bytes();
    for (int64_t done = 0; done < count;) {
      const int64_t at = (first + done) % rows_, n = std::min(count - done, rows_ - at);
      CARAT_TRY(const auto matrix, whole((first + done) / rows_));
      std::memcpy(out + static_cast<uint64_t>(done) * row_bytes,
                  matrix->data() + static_cast<uint64_t>(at) * row_bytes,
                  static_cast<uint64_t>(n) * row_bytes);
      done += n;
    }
    return {};
  }
  /// A matrix is needed up to its last row; every tensor of a plan has its own.
  void release(int64_t first, int64_t count) const override {
    if (count == 0) return;
    const int64_t begin = first / rows_, end = (first + count) / rows_;
    const std::lock_guard lock(mutex_);
    for (auto& [index, matrix] : kept_)
      if (index >= begin && index < end) matrix = nullptr;
  }

 private:
  using Matrix = std::shared_ptr<const std::vector<uint8_t>>;

  Result<Matrix> whole(int64_t index) const {
    const std::lock_guard lock(mutex_);
    auto& [kept, matrix] = kept_[static_cast<size_t>(index % 2)];
    if (!matrix || kept != index) {
      auto made = std::make_shared<std::vector<uint8_t>>(static_cast<uint64_t>(rows_) * source_.row_bytes());
      matrix = nullptr;
      CARAT_DO(source_.data->read_bytes(index * rows_, rows_, made->data()));
      source_.data->release(index * rows_, rows_);
      kept = index;
      matrix = std::move(made);
    }
    return matrix;
  }

  Tensor source_;
  int64_t rows_;
  mutable std::mutex mutex_;
  mutable std::array<std::pair<int64_t, Matrix>, 2> kept_;
};

Result<Tensor> transposed(const Tensor& tensor) {
  CARAT_TRY(Tensor t,
            from_hf_form(tensor.encoding->is_float ? tensor : as_f32(tensor), HfForm::transposed, {}));
  t.data = std::make_shared<WholeMatrices>(t);
  return t;
}

Result<Tensor> gates_and_ups(const Tensor& gate, const Tensor& up) {
  if (gate.shape != up.shape)
    return bad_data("tensors {} and {} have different shapes", quote(gate.name), quote(up.name));
  Tensor both = gate;
  if (gate.shape.size() == 2) {
    both.shape.back() *= 2;
    both.data = std::make_shared<EntriesInTurn>(gate, up);
    return both;
  }
  both.shape[1] *= 2;
  both.data = std::make_shared<Turns>(gate, 1, up, 1);
  return transposed(both);
}

Result<Tensor> keys_and_values(const Tensor& key, const Tensor& value) {
  if (key.shape[0] != value.shape[0] || key.shape[1] != value.shape[2])
    return bad_data("tensors {} and {} are not of the same heads and vectors", quote(key.name),
                    quote(value.name));
  CARAT_TRY(const Tensor turned, transposed(key));
  Tensor both = value;
  both.shape = {value.shape[0] * (turned.shape[1] + value.shape[1]), value.shape[2]};
  both.data = std::make_shared<Turns>(turned, turned.shape[1], value, value.shape[1]);
  return both;
}

}  // namespace

Result<std::optional<Tensor>> to_hf_form(const Checkpoint& checkpoint, const Family& family,
                                         const TensorRule& rule, int64_t layer, const Tensor& tensor) {
  if (tensor.shape.size() != rule.shape.size() || !tensor.encoding->can_decode())
    return bad_data("tensor {} has {} dimensions, not {}, or cannot be decoded", quote(tensor.name),
                    tensor.shape.size(), rule.shape.size());
  if (rule.form == HfForm::transposed) {
    CARAT_TRY(Tensor turned, transposed(tensor));
    return std::optional<Tensor>(std::move(turned));
  }
  // Two tensors there are, of two rules with one name at Hugging Face.
  const Tensor* other = nullptr;
  for (const TensorRule& r : family.tensors)
    if (r.role != rule.role && r.hf == rule.hf && r.form != HfForm::same) {
      CARAT_TRY(other, checkpoint.at(r.gguf_name(layer)));
      if (other->shape.size() != r.shape.size() || !other->encoding->can_decode())
        return bad_data("tensor {} has {} dimensions, not {}, or cannot be decoded", quote(other->name),
                        other->shape.size(), r.shape.size());
    }
  if (rule.form == HfForm::second_of_pairs || rule.form == HfForm::latent_values)
    return std::optional<Tensor>();
  if (!other) return error(Code::internal, "{} has no other half", rule.gguf);
  const bool alike = tensor.encoding == other->encoding && tensor.encoding->is_float;
  const Tensor a = alike ? tensor : as_f32(tensor), b = alike ? *other : as_f32(*other);
  CARAT_TRY(Tensor both, rule.form == HfForm::latent_keys ? keys_and_values(a, b) : gates_and_ups(a, b));
  return std::optional<Tensor>(std::move(both));
}

}  // namespace carat
