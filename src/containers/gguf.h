// GGUF files: version 3 written, versions 2 and 3 read. Byte layout at the top of gguf_reader.cc.
#pragma once

#include <memory>
#include <string>

#include "containers/checkpoint.h"

namespace carat {

/// Validated view of a GGUF file (all parts of a split file are for a later step: a part is a clear error).
/// Every count is bounded by the bytes that remain before anything is allocated; tensors lie inside the file,
/// aligned, one after the other without gap or overlap; names and keys are unique. bad_data
/// names file, place and cause.
Result<Checkpoint> read_gguf(const std::string& path);

struct GgufWriteOptions {
  /// Names everything that decides the bytes (source digest, options, encoder revision): a partial file whose
  /// journal carries another fingerprint is not resumed but refused with a sentence saying so.
  std::string fingerprint;
  bool resume = false;  ///< false: an existing partial file is an error unless `discard_partial`
  bool discard_partial = false;
};

/// Plans the whole file: total size, free-space check (io error naming need and free bytes) before the first
/// byte. Tensors are padded to general.alignment (32 unless metadata says otherwise).
Result<std::unique_ptr<CheckpointWriter>> create_gguf(const std::string& path, const Metadata& metadata,
                                                      const std::vector<PlannedTensor>& plan,
                                                      const GgufWriteOptions& options);

/// Bytes create_gguf would write, without touching the disk.
Result<uint64_t> gguf_file_size(const Metadata& metadata, const std::vector<PlannedTensor>& plan);

}  // namespace carat
