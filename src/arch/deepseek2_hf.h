// config.json of DeepSeek-V2 and V3: the head sizes, the routing and the rotation that only they have.
#pragma once

#include "arch/hf_config.h"

namespace carat {

class HfReader;

/// What DeepseekV2Config, DeepseekV3Config and the code beside the published weights make of it, with GGUF's
/// newer layout of attention. bad_data names a key that is missing or says what carat does not compute.
Status read_hf_deepseek2(const HfReader& read, HfConfig& out);
/// The inverse, into out.object. bad_data for what config.json cannot say.
Status write_hf_deepseek2(const Metadata& metadata, HfConfig& out);

}  // namespace carat
