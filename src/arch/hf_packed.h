// Weights that Hugging Face directories hold as codes and scales, each a tensor of its own: seen as one
// tensor in an encoding of carat's, without touching a code.
//
//   MXFP4   NAME_blocks  U8 [..., rows, columns / 32, 16]    byte i: columns 2i (low nibble) and 2i + 1
//           NAME_scales  U8 [..., rows, columns / 32]        E8M0
//   FP8     NAME            F8_E4M3 [rows, columns]
//           NAME_scale_inv  floats [rows / 128, columns / 128], rounded up: what codes are multiplied by
//   NVFP4   NAME            U8 [rows, columns / 2]           byte i: columns 2i (low nibble) and 2i + 1
//           NAME_scale      F8_E4M3 [rows, columns / 16]
//           NAME_scale_2    one float, what all are multiplied by besides; and input_scale beside it, an
//                           activation's, both optional (ModelOpt)
//       or  NAME_packed, NAME_scale, NAME_global_scale and input_global_scale, the last two being the
//           others' inverses (compressed-tensors)
//
// (OpenAI's gpt-oss; DeepSeek-V3; transformers: integrations/mxfp4.py, finegrained_fp8.py;
// compressed_tensors/compressors/nvfp4; llama.cpp's convert_hf_to_gguf.py)
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "containers/checkpoint.h"

namespace carat {

/// What was found under a name.
struct HfWeights {
  Tensor tensor;
  std::vector<float> scale, input_scale;  ///< NVFP4's, one for each matrix; or empty (tensor_scales.h)
};

/// The weights under `name` in `source`, as they are or in one of these forms; nothing where there are none.
/// The names of all that was taken go to `used`. bad_data: scales are missing, or do not fit their codes.
Result<std::optional<HfWeights>> find_weights(const Checkpoint& source, const std::string& name,
                                              std::unordered_set<std::string_view>& used);

/// Whether a tensor of these encodings comes from such forms.
bool is_packed(const Encoding& encoding);

}  // namespace carat
