// Distinct strings numbered from 0: one arena and one open-addressed index, because a vocabulary has a
// quarter of a million entries of a few bytes, for which a node-based map takes ten times their size.
//
// Loading a tokenizer is mostly look-ups here (two or three for each of a few hundred thousand merges), so a
// slot carries half the hash: other strings on the way are passed without a look at their bytes. The hash
// folds 128-bit products of 8 bytes at a time, and is seeded by chance, so that no file can be made to
// collide.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace carat {

/// Every bit of the result depends on every bit of x.
inline uint64_t hash_fold(uint64_t x) {
  const auto product = static_cast<unsigned __int128>(x) * 0xa0761d6478bd642full;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

class StringTable {
 public:
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t id) const {
    const size_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(arena_).substr(begin, ends_[id] - begin);
  }
  /// Room for `count` strings in the index.
  void reserve(size_t count) {
    size_t slots = 64;
    while (slots < 2 * (count + 1)) slots *= 2;
    if (slots > slots_.size()) rebuild(slots);
  }
  /// -1 if it is not there.
  int32_t find(std::string_view s) const { return find(s, hash(s)); }
  /// find() in two steps, where the slots of several strings are fetched before the first is compared.
  int32_t find(std::string_view s, uint64_t hash) const {
    return slots_.empty() ? -1 : slots_[slot_of(s, hash)].id;
  }
  void prefetch(uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  /// The id, and whether the string is new.
  std::pair<int32_t, bool> insert(std::string_view s) {
    if (slots_.size() < 2 * (ends_.size() + 1)) rebuild(slots_.empty() ? 64 : 2 * slots_.size());
    const uint64_t h = hash(s);
    Slot& slot = slots_[slot_of(s, h)];
    if (slot.id >= 0) return {slot.id, false};
    const auto id = static_cast<int32_t>(ends_.size());
    arena_.append(s);
    ends_.push_back(arena_.size());
    slot = {static_cast<uint32_t>(h >> 32), id};
    return {id, true};
  }

  static uint64_t hash(std::string_view s) {
    static const uint64_t seed = std::random_device{}() * 0x9e3779b97f4a7c15ull;
    const auto load = [](const char* from, auto word) {
      std::memcpy(&word, from, sizeof word);
      return uint64_t{word};
    };
    uint64_t h = seed ^ s.size() * 0x9e3779b97f4a7c15ull;
    const char *p = s.data(), *end = p + s.size();
    for (; end - p > 8; p += 8) h = hash_fold(h ^ load(p, uint64_t{}));
    // The last 1 to 8 bytes; parts may overlap, since the size is in the hash.
    uint64_t rest = 0;
    if (s.size() >= 8)
      rest = load(end - 8, uint64_t{});
    else if (s.size() >= 4)
      rest = load(p, uint32_t{}) | load(end - 4, uint32_t{}) << 32;
    else if (!s.empty())
      rest = load(p, uint8_t{}) | load(p + s.size() / 2, uint8_t{}) << 8 | load(end - 1, uint8_t{}) << 16;
    return hash_fold(hash_fold(h ^ rest));
  }

 private:
  struct Slot {
    uint32_t tag = 0;  ///< the upper half of the hash
    int32_t id = -1;   ///< -1: free
  };
  size_t slot_of(std::string_view s, uint64_t hash) const {
    const size_t mask = slots_.size() - 1;
    const auto tag = static_cast<uint32_t>(hash >> 32);
    size_t slot = hash & mask;
    while (slots_[slot].id >= 0 &&
           (slots_[slot].tag != tag || (*this)[static_cast<size_t>(slots_[slot].id)] != s)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }
  void rebuild(size_t slots) {
    slots_.assign(slots, {});
    for (size_t id = 0; id < ends_.size(); ++id) {
      const std::string_view s = (*this)[id];
      const uint64_t h = hash(s);
      slots_[slot_of(s, h)] = {static_cast<uint32_t>(h >> 32), static_cast<int32_t>(id)};
    }
  }

  std::string arena_;
  std::vector<size_t> ends_;
  std::vector<Slot> slots_;  ///< a power of two, at most half full
};

}  // namespace carat
