// Typed, bounded look-ups of a family's metadata keys ({arch}.*).
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "containers/checkpoint.h"

namespace carat {

class ConfigReader {
 public:
  ConfigReader(const Checkpoint& checkpoint, std::string_view architecture)
      : checkpoint_(checkpoint), architecture_(architecture) {}

  std::string key(std::string_view suffix) const { return fmt::format("{}.{}", architecture_, suffix); }
  bool has(std::string_view suffix) const { return checkpoint_.metadata.has(key(suffix)); }

  /// An integer in [low, high], or `fallback` where the key is missing; no fallback: the key must be there.
  /// A per-layer array of equal values is accepted as the one value.
  Result<int64_t> count(std::string_view suffix, int64_t low, int64_t high,
                        std::optional<int64_t> fallback = std::nullopt) const {
    const std::string name = key(suffix);
    const Value* value = checkpoint_.metadata.find(name);
    if (!value) {
      if (fallback) return *fallback;
      return bad_data("{}: metadata key {} is missing", checkpoint_.source, name);
    }
    int64_t n = 0;
    if (value->type == ValueType::array) {
      auto all = checkpoint_.metadata.integers_at(name);
      if (!all) return std::move(all).error().within(checkpoint_.source);
      if (all->empty()) return bad_data("{}: metadata key {} is an empty array", checkpoint_.source, name);
      n = all->front();
      if (std::any_of(all->begin(), all->end(), [n](int64_t x) { return x != n; }))
        return bad_data("{}: {} differs between layers, which carat cannot run", checkpoint_.source, name);
    } else {
      auto one = checkpoint_.metadata.signed_at(name);
      if (!one) return std::move(one).error().within(checkpoint_.source);
      n = *one;
    }
    if (n < low || n > high)
      return bad_data("{}: {} is {}, outside {} to {}", checkpoint_.source, name, n, low, high);
    return n;
  }

  /// A finite number in [low, high].
  Result<double> number(std::string_view suffix, double low, double high,
                        std::optional<double> fallback = std::nullopt) const {
    const std::string name = key(suffix);
    if (!checkpoint_.metadata.has(name)) {
      if (fallback) return *fallback;
      return bad_data("{}: metadata key {} is missing", checkpoint_.source, name);
    }
    auto x = checkpoint_.metadata.number_at(name);
    if (!x) return std::move(x).error().within(checkpoint_.source);
    if (!(*x >= low && *x <= high))
      return bad_data("{}: {} is {}, outside {} to {}", checkpoint_.source, name, *x, low, high);
    return *x;
  }

  Result<bool> flag(std::string_view suffix, bool fallback) const {
    const std::string name = key(suffix);
    const Value* value = checkpoint_.metadata.find(name);
    if (!value) return fallback;
    auto said = checkpoint_.metadata.bool_at(name);
    if (!said) return std::move(said).error().within(checkpoint_.source);
    return *said;
  }

  Result<std::string> text(std::string_view suffix, std::string fallback) const {
    auto s = checkpoint_.metadata.string_or(key(suffix), std::move(fallback));
    if (!s) return std::move(s).error().within(checkpoint_.source);
    return s;
  }

 private:
  const Checkpoint& checkpoint_;
  std::string_view architecture_;
};

}  // namespace carat
