// What happens to a model that does not fit into memory: it runs from the file, at the speed of the drive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace carat {

/// Bytes per second that a file is read with where it is not in the page cache; a short sample from its
/// middle, 0 where that cannot be told.
double drive_read_rate(const std::string& path);

/// The warning for a model of `model_bytes` with `available` bytes of memory (0: unknown), read at `rate`;
/// nothing where it fits.
std::optional<std::string> memory_warning(const std::string& name, uint64_t model_bytes, uint64_t available,
                                          double rate);

}  // namespace carat
