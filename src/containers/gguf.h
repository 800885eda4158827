// GGUF files: version 3 written, versions 2 and 3 read. Byte layout at the top of gguf_reader.cc.
#pragma once

#include <memory>
#include <string>

#include "containers/checkpoint.h"

namespace carat {

/// Validated view of a GGUF file, or of a model that is split into several, whichever part is named.
/// Every count is bounded by the bytes that remain before anything is allocated; tensors lie inside the file,
/// aligned, one after the other without gap or overlap; names and keys are unique. bad_data
/// names file, place and cause; no_input a part that is missing.
Result<Checkpoint> read_gguf(const std::string& path);

struct GgufWriteOptions {
  /// Names everything that decides the bytes (source digest, options, encoder revision): a partial file whose
  /// journal carries another fingerprint is not resumed but refused with a sentence saying so.
  std::string fingerprint;
  bool resume = false;           ///< false: an existing partial file is an error unless `discard_partial`
  bool discard_partial = false;  ///< throws it away; with `resume`, only if it carries another fingerprint
  /// Several files of at most so many bytes (more where one tensor is larger), 0: one file. Parts of
  /// PATH.gguf are PATH-00001-of-0000N.gguf; a model that fits one file is written as PATH itself.
  uint64_t split_bytes = 0;
};

/// Plans the whole file: total size, free-space check (io error naming need and free bytes) before the first
/// byte. Tensors are padded to general.alignment (32 unless metadata says otherwise).
Result<std::unique_ptr<CheckpointWriter>> create_gguf(const std::string& path, const Metadata& metadata,
                                                      const std::vector<PlannedTensor>& plan,
                                                      const GgufWriteOptions& options);

/// Whether create_gguf would refuse to write there, for whoever has long work to do before.
Status check_gguf_place(const std::string& path, const GgufWriteOptions& options);

/// The files create_gguf would write, in the order of their parts.
Result<std::vector<std::string>> gguf_files(const std::string& path, const Metadata& metadata,
                                            const std::vector<PlannedTensor>& plan, uint64_t split_bytes);

/// Bytes create_gguf would write, of one file, without touching the disk.
Result<uint64_t> gguf_file_size(const Metadata& metadata, const std::vector<PlannedTensor>& plan);

}  // namespace carat
