// What the Gemmas have in common.
#pragma once

#include "arch/hf_config.h"
#include "arch/hf_reader.h"
#include "arch/tensor_tables.h"

namespace carat {

/// Norms before and after attention and feed-forward, with gains that Hugging Face stores less 1; `qk_norm`:
/// one for every head of queries and keys, too.
TensorRules gemma_tensors(bool qk_norm);

/// bad_data where config.json says something of layers or queries that GGUF's keys of Gemma 2 and 3 cannot:
/// kinds of layers in another order than "every `period`th sees everything", or a scale of queries that does
/// not follow from the heads (in a model of `layers_of_27b` layers: from the width).
Status check_gemma(const HfReader& read, const HfConfig& config, int64_t layers_of_27b, int64_t period);

}  // namespace carat
