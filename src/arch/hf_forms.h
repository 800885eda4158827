// Tensors that stand otherwise at Hugging Face than in GGUF, besides the order of rotary pairs: seen in
// GGUF's form as rows are read.
#pragma once

#include "arch/family.h"
#include "containers/checkpoint.h"

namespace carat {

/// Of a model's heads, for HfForm::by_key_value_head.
struct HeadCounts {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
};

/// `tensor` in GGUF's form, its shape included. bad_data where its shape does not allow it.
Result<Tensor> from_hf_form(const Tensor& tensor, HfForm form, const HeadCounts& heads);

}  // namespace carat
