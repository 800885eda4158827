// One door for models: a GGUF file or a Hugging Face directory, in one vocabulary.
#pragma once

#include <string>

#include "containers/checkpoint.h"

namespace carat {

/// Opens PATH. A directory with config.json and *.safetensors is presented in GGUF's vocabulary: metadata
/// keys, tensor names, row permutation of q and k for architectures whose GGUF form interleaves rotary pairs
/// (applied as rows are read), tokenizer metadata. no_input if there is nothing; bad_data names file and
/// cause.
Result<Checkpoint> open_model(const std::string& path);

/// Options of writing a Hugging Face directory.
struct HfWriteOptions {
  const Encoding* encoding = nullptr;  ///< F32, F16 or BF16 for matrices (norms too: one torch_dtype)
  uint64_t shard_bytes = 5'000'000'000;
  bool discard_partial = false;  ///< throw away what an interrupted run left in DIRECTORY.partial
};

/// Writes DIRECTORY (atomically: DIRECTORY.partial, then a rename): model*.safetensors with index when
/// sharded, config.json, tokenizer.json, tokenizer_config.json, generation_config.json, chat template. BF16
/// or F32 values that overflow F16 are a bad_data error naming the tensor; underflow is counted in
/// `underflows` when not null.
Status write_hf_directory(const Context& context, const Checkpoint& checkpoint, const std::string& directory,
                          const HfWriteOptions& options, uint64_t* underflows);

/// What write_hf_directory would refuse before it reads a weight, for callers with long work of their own
/// first.
Status check_hf_directory(const Checkpoint& checkpoint, const std::string& directory,
                          const HfWriteOptions& options);

}  // namespace carat
