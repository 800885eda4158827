// A Hugging Face directory as a checkpoint in GGUF's vocabulary.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "arch/hf_config.h"
#include "containers/checkpoint.h"

namespace carat {

/// The directory must exist. Nothing of the tensors is read, except where lm_head has to be compared with the
/// embedding it is said to be tied to.
Result<Checkpoint> import_hf_directory(const std::string& directory);

/// `source` (tensors under Hugging Face names) as GGUF has them: names, order, rotary rows, F32 vectors, rope
/// divisors. What no rule names is carried under its own name at the end; what can be recomputed is left out
/// and named in `left_out`.
Status map_tensors(const HfConfig& config, const Checkpoint& source, std::vector<Tensor>& out,
                   std::vector<std::string>& left_out);

/// tokenizer.* from a directory's small files.
Status import_tokenizer(const std::vector<std::pair<std::string, std::string>>& files, uint64_t vocabulary,
                        Metadata& out);

}  // namespace carat
