// Tensor rows that lie in a mapped file as they are.
#pragma once

#include <memory>

#include "containers/checkpoint.h"
#include "containers/mapped_file.h"

namespace carat {

/// Bytes [offset, offset + rows * row_bytes) of the file, which the caller has checked to exist.
std::shared_ptr<const TensorData> mapped_tensor_data(std::shared_ptr<const MappedFile> file, uint64_t offset,
                                                     int64_t rows, uint64_t row_bytes);

}  // namespace carat
