// What the parsed form of a file may take in memory: the size of the file plus 48 MB. Readers charge it
// before they allocate, because a short entry of a file can be a long one in memory. Internal to containers/.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace carat {

class MemoryBudget {
 public:
  void add_file(uint64_t bytes) { left_ += bytes; }
  Status charge(uint64_t bytes) {
    if (bytes > left_)
      return bad_data("what it lists would take more memory than the file's size plus 48 MB");
    left_ -= bytes;
    return {};
  }
  /// A string's heap part, where it has one.
  Status charge_text(uint64_t length) { return charge(length > 15 ? length + 32 : 0); }

 private:
  uint64_t left_ = 48 << 20;
};

/// A Tensor with its shape, data source and index node, and the allocator's overhead; names come on top
/// (twice).
inline constexpr uint64_t tensor_cost = 640;
/// A Metadata entry with its index node; keys come on top (twice), values too.
inline constexpr uint64_t metadata_cost = 384;

}  // namespace carat
