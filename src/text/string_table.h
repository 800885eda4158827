// Distinct strings numbered from 0: one arena and one open-addressed index, because a vocabulary has a
// quarter of a million entries of a few bytes, for which a node-based map takes ten times their size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace carat {

class StringTable {
 public:
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t id) const {
    const size_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(arena_).substr(begin, ends_[id] - begin);
  }
  /// -1 if it is not there.
  int32_t find(std::string_view s) const {
    if (slots_.empty()) return -1;
    return slots_[slot_of(s)];
  }
  /// The id, and whether the string is new.
  std::pair<int32_t, bool> insert(std::string_view s) {
    if (slots_.size() < 2 * (ends_.size() + 1)) grow();
    const size_t slot = slot_of(s);
    if (slots_[slot] >= 0) return {slots_[slot], false};
    const auto id = static_cast<int32_t>(ends_.size());
    arena_.append(s);
    ends_.push_back(arena_.size());
    slots_[slot] = id;
    return {id, true};
  }

 private:
  size_t slot_of(std::string_view s) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = std::hash<std::string_view>{}(s)&mask;
    while (slots_[slot] >= 0 && (*this)[static_cast<size_t>(slots_[slot])] != s) slot = (slot + 1) & mask;
    return slot;
  }
  void grow() {
    slots_.assign(slots_.empty() ? 64 : 2 * slots_.size(), -1);
    for (size_t id = 0; id < ends_.size(); ++id) slots_[slot_of((*this)[id])] = static_cast<int32_t>(id);
  }

  std::string arena_;
  std::vector<size_t> ends_;
  std::vector<int32_t> slots_;  ///< a power of two, at most half full
};

}  // namespace carat
