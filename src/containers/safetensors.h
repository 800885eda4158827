// safetensors files: 8-byte little-endian header size, JSON header, data. Names are the file's own
// (Hugging Face's); arch/ maps them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "containers/checkpoint.h"

namespace carat {

/// One file. Header size, dtype, shape and offsets checked against the file; no holes or overlaps.
/// __metadata__ entries become string metadata. dtypes F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL F8_E4M3...
/// that have no encoding are carried by a storage-only one.
Result<Checkpoint> read_safetensors(const std::string& path);

/// model.safetensors, or all shards of model.safetensors.index.json, as one checkpoint: every tensor of the
/// index must be in its shard and the reverse.
Result<Checkpoint> read_safetensors_directory(const std::string& directory);

/// Shards planned up front: model.safetensors, or model-0000i-of-0000n.safetensors plus the index. Written
/// into an existing directory; atomicity is the caller's (write into DIRECTORY.partial, then rename).
class SafetensorsWriter {
 public:
  virtual ~SafetensorsWriter() = default;
  virtual uint64_t total_bytes() const = 0;
  virtual Status write(Bytes rows) = 0;  ///< tensors in the order of the plan, as CheckpointWriter
  virtual Status finish() = 0;           ///< syncs everything, writes the index
};
Result<std::unique_ptr<SafetensorsWriter>> create_safetensors(const std::string& directory,
                                                              const std::vector<PlannedTensor>& plan,
                                                              uint64_t shard_bytes);

}  // namespace carat
