// Checkpoints of any shape with random weights: speed does not depend on what the weights are, so nobody has
// to download a model to measure a shape. Rows are made when they are read, so that even a large one takes no
// memory.
#pragma once

#include "arch/model_config.h"
#include "containers/checkpoint.h"

namespace carat {

struct SyntheticShape {
  int64_t layers = 22, width = 2048, feed_forward = 5632;
  int64_t heads = 32, kv_heads = 4, head_dim = 64;
  int64_t vocabulary = 32000;
  int64_t context = 32768;
  bool tied = false;  ///< no output.weight
  float rope_base = 10000.0f;
};

/// A llama whose matrices are N(0, 0.02) in `encoding` (F32, F16 or BF16) and whose gains are 1, with a
/// SentencePiece-style tokenizer of made-up pieces. The same shape, encoding and seed give the same bytes.
Result<Checkpoint> synthetic_llama(const SyntheticShape& shape, const Encoding& encoding, uint64_t seed);

/// The same tensors and metadata as `model` has, every matrix N(0, 0.02) in `encoding`. What `model` costs in
/// 16 bits can be measured with it where the original is not at hand.
Checkpoint synthetic_twin(const Checkpoint& model, const Encoding& encoding, uint64_t seed);

}  // namespace carat
