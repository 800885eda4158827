// Gives a model more columns, heads or feed-forward channels than it was trained with, without changing what
// it computes, so that its rows divide into the blocks of an encoding (576 columns are no multiple of 256;
// 768 are).
//
// What is added holds zero wherever it could be seen:
//   residual channels   old channel i moves to floor(i * new / old), which spreads the new ones evenly; rows
//                       of o and down that write a new one are zero, as are its columns in the embedding
//   heads               appended, query heads in whole groups with their key-value head; new v rows are zero
//   feed-forward        appended; new up rows are zero
//
// RMS norms average over more channels: gains * sqrt(old / new) and epsilon * old / new give the same result.
// Norms of single heads (Qwen3) share that epsilon but not the longer mean; q and k * sqrt(old / new) before
// them make up for it. head_dim does not change.
//
// Weights that only ever meet a zero are free. They are filled with copies of other columns (or heads, or
// rows) of the same tensor rather than with zeros: a block then holds as many values that look like the
// model's own as its size says, and the figures of a quantizer are those of a model that is really this wide.
// Zeros leave each scale to fewer real weights than the bits per weight pay for, and flatter it: for
// SmolLM2-135M at 768 columns in Q2_K the mean KL from BF16 (256 tokens of WikiText-2) is 2.08 with copies
// and 1.77 with zeros; in Q4_K_M and Q4_0 the two differ by less than 2 %.
#pragma once

#include <cstdint>

#include "containers/checkpoint.h"

namespace carat {

/// 0 keeps what the model has.
struct WidenOptions {
  int64_t width = 0;
  int64_t heads = 0;  ///< query heads; key-value heads keep their ratio
  int64_t feed_forward = 0;
};

/// Lazy, as rescale. Metadata gets the new sizes and carat.transform.widen. Usage errors name the number at
/// fault.
Result<Checkpoint> widen(Checkpoint in, const WidenOptions& options);

}  // namespace carat
