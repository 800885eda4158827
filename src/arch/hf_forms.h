// Tensors that stand otherwise at Hugging Face than in GGUF, besides the order of rotary pairs: seen in
// GGUF's form as rows are read.
#pragma once

#include "arch/family.h"
#include "containers/checkpoint.h"

namespace carat {

/// Of a model's heads, for the forms that depend on them.
struct HeadCounts {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t plain = 0, value = 0;  ///< as in LatentConfig
};

/// `tensor` in GGUF's form, its shape included. MXFP4 codes lie along what a matrix reads, as in GGUF, so
/// tensors of theirs are never transposed. bad_data where its shape does not allow it.
Result<Tensor> from_hf_form(const Tensor& tensor, HfForm form, const HeadCounts& heads);
/// How many dimensions a rule's tensor has there.
size_t rank_in_hf(const TensorRule& rule);

}  // namespace carat
