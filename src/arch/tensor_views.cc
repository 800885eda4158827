#include "arch/tensor_views.h"

#include <cstring>

namespace carat {
namespace {

class FloatData final : public TensorData {
 public:
  FloatData(std::vector<float> values, int64_t columns) : values_(std::move(values)), columns_(columns) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    if (count > 0) std::memcpy(out, values_.data() + first * columns_, sizeof(float) * (count * columns_));
    return {};
  }
  Bytes mapped() const override {
    return {reinterpret_cast<const uint8_t*>(values_.data()), values_.size() * sizeof(float)};
  }

 private:
  std::vector<float> values_;
  int64_t columns_;
};

class AsF32 final : public TensorData {
 public:
  explicit AsF32(Tensor source) : source_(std::move(source)) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    // Callers' buffers are bytes; decoding wants aligned floats.
    std::vector<float> row(static_cast<size_t>(source_.columns()));
    const size_t row_bytes = row.size() * sizeof(float);
    for (int64_t i = 0; i < count; ++i) {
      CARAT_DO(source_.read_rows(first + i, 1, row.data()));
      std::memcpy(out + static_cast<size_t>(i) * row_bytes, row.data(), row_bytes);
    }
    return {};
  }
  void release(int64_t first, int64_t count) const override { source_.data->release(first, count); }

 private:
  Tensor source_;
};

/// Where entry `i` of a head of `head` entries comes from.
int64_t source_entry(int64_t i, int64_t head, RotaryOrder order) {
  const int64_t half = head / 2;
  // Pair p of the rotation is entries (2p, 2p + 1) in one order and (p, p + half) in the other.
  if (order == RotaryOrder::interleave) return i / 2 + (i % 2) * half;
  return i < half ? 2 * i : 2 * (i - half) + 1;
}

class RotaryRows final : public TensorData {
 public:
  RotaryRows(Tensor source, int64_t head, RotaryOrder order)
      : source_(std::move(source)), head_(head), order_(order) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const uint64_t row_bytes = source_.row_bytes();
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = first + i;
      const int64_t base = row / head_ * head_;
      CARAT_DO(source_.data->read_bytes(base + source_entry(row - base, head_, order_), 1,
                                        out + static_cast<uint64_t>(i) * row_bytes));
    }
    return {};
  }
  void release(int64_t first, int64_t count) const override {
    const int64_t begin = first / head_ * head_;
    const int64_t end = std::min(round_up(first + count, head_), source_.rows());
    source_.data->release(begin, end - begin);
  }

 private:
  Tensor source_;
  int64_t head_;
  RotaryOrder order_;
};

/// The same for a bias: one row whose columns move.
class RotaryColumns final : public TensorData {
 public:
  RotaryColumns(Tensor source, int64_t head, RotaryOrder order)
      : source_(std::move(source)), head_(head), order_(order) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    if (count == 0) return {};
    const uint64_t item = source_.encoding->block_bytes;
    std::vector<uint8_t> row(source_.row_bytes());
    CARAT_DO(source_.data->read_bytes(first, 1, row.data()));
    for (int64_t i = 0; i < source_.columns(); ++i) {
      const int64_t base = i / head_ * head_;
      const int64_t from = base + source_entry(i - base, head_, order_);
      std::memcpy(out + static_cast<uint64_t>(i) * item, row.data() + static_cast<uint64_t>(from) * item,
                  item);
    }
    return {};
  }

 private:
  Tensor source_;
  int64_t head_;
  RotaryOrder order_;
};

}  // namespace

std::shared_ptr<const TensorData> float_data(std::vector<float> values, int64_t columns) {
  return std::make_shared<FloatData>(std::move(values), columns);
}

Tensor as_f32(const Tensor& tensor) {
  if (tensor.encoding == &encoding_f32()) return tensor;
  return {tensor.name, tensor.shape, &encoding_f32(), std::make_shared<AsF32>(tensor)};
}

Tensor reorder_rotary(const Tensor& tensor, int64_t head, RotaryOrder order) {
  Tensor out = tensor;
  if (tensor.shape.size() == 1)
    out.data = std::make_shared<RotaryColumns>(tensor, head, order);
  else
    out.data = std::make_shared<RotaryRows>(tensor, head, order);
  return out;
}

}  // namespace carat
