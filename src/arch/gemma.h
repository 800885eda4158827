// What the Gemmas have in common at Hugging Face.
#pragma once

#include "arch/hf_config.h"
#include "arch/hf_reader.h"

namespace carat {

/// bad_data where config.json says something of layers or queries that GGUF's keys of Gemma 2 and 3 cannot:
/// kinds of layers in another order than "every `period`th sees everything", or a scale of queries that does
/// not follow from the heads (in a model of `layers_of_27b` layers: from the width).
Status check_gemma(const HfReader& read, const HfConfig& config, int64_t layers_of_27b, int64_t period);

}  // namespace carat
