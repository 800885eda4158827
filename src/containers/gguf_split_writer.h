// GGUF models in several files of a chosen size. Internal to containers/; gguf.h is what others use.
#pragma once

#include "containers/gguf.h"

namespace carat {

/// The first tensor of each part: as many as fit split_bytes with their header, at least one. One part where
/// split_bytes is 0 or the whole file is no larger.
Result<std::vector<size_t>> divide_gguf(const Metadata& metadata, const std::vector<PlannedTensor>& plan,
                                        uint64_t split_bytes);

Result<std::unique_ptr<CheckpointWriter>> create_split_gguf(const std::string& path, const Metadata& metadata,
                                                            const std::vector<PlannedTensor>& plan,
                                                            const GgufWriteOptions& options);

}  // namespace carat
