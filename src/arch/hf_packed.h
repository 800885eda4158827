// Weights that Hugging Face directories hold as codes and scales, each a tensor of its own: seen as one
// tensor in an encoding of carat's, without touching a code.
//
//   MXFP4   NAME_blocks  U8 [..., rows, columns / 32, 16]    byte i: columns 2i (low nibble) and 2i + 1
//           NAME_scales  U8 [..., rows, columns / 32]        E8M0
//   FP8     NAME            F8_E4M3 [rows, columns]
//           NAME_scale_inv  floats [rows / 128, columns / 128], rounded up: what codes are multiplied by
//
// (OpenAI's gpt-oss; DeepSeek-V3. transformers: integrations/mxfp4.py, finegrained_fp8.py)
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "containers/checkpoint.h"

namespace carat {

/// The weights under `name` in `source`, as they are or in one of these forms; nothing where there are none.
/// The names of all that was taken go to `used`. bad_data: scales are missing, or do not fit their codes.
Result<std::optional<Tensor>> find_weights(const Checkpoint& source, const std::string& name,
                                           std::unordered_set<std::string_view>& used);

/// Whether a tensor of these encodings comes from such forms.
bool is_packed(const Encoding& encoding);

}  // namespace carat
