// Tensors seen through a change that is made as rows are read: nothing is materialised.
#pragma once

#include <vector>

#include "containers/checkpoint.h"

namespace carat {

/// A small F32 tensor held in memory, rows of `columns`.
std::shared_ptr<const TensorData> float_data(std::vector<float> values, int64_t columns);

/// `tensor` as F32, decoded row by row. The tensor must be decodable.
Tensor as_f32(const Tensor& tensor);

/// `tensor` with its outermost dimension reordered: entry i of the result is entry order(i) of the source,
/// where `order` maps [0, head) within each head of `head` entries and heads stay where they are.
enum class RotaryOrder {
  interleave,  ///< halves -> pairs: what a Hugging Face q or k becomes in GGUF
  halve,       ///< pairs -> halves: the inverse
};
Tensor reorder_rotary(const Tensor& tensor, int64_t head, RotaryOrder order);

}  // namespace carat
