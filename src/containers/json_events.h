// JSON read as events, for headers so large and so regular that a tree of them would take many times their
// size in memory (a safetensors header may have 100 MB, and "[]," is 3 bytes of text but 24 of tree).
#pragma once

#include <string_view>

#include "base/error.h"

namespace carat {

/// Told of each piece of the text in order; an error stops the reading and is returned.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual Status key(std::string_view name) = 0;
  virtual Status string(std::string_view text) = 0;
  virtual Status integer(uint64_t value) = 0;
  /// A negative number, a fraction, true, false or null.
  virtual Status other() = 0;
  virtual Status begin_object() = 0;
  virtual Status end_object() = 0;
  virtual Status begin_array() = 0;
  virtual Status end_array() = 0;
};

/// Strings longer than `longest` bytes are refused before they are held in memory.
Status read_json_events(std::string_view text, size_t longest, JsonEvents& events);

}  // namespace carat
