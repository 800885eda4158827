#include "stats/text_sketch.h"

#include <algorithm>

#include "base/digest.h"

namespace carat {
namespace {

constexpr std::string_view kSketchKey = "carat.calibration.sketch";

/// Sorted, distinct hashes of all runs, those up to `limit`.
std::vector<int64_t> hashes_of(std::span<const TokenId> tokens, int64_t limit) {
  std::vector<int64_t> hashes;
  for (size_t i = 0; i + kSketchGram <= tokens.size(); ++i) {
    const auto hash = static_cast<int64_t>(
        xxh3({reinterpret_cast<const uint8_t*>(tokens.data() + i), kSketchGram * sizeof(TokenId)}) >> 1);
    if (hash <= limit) hashes.push_back(hash);
  }
  std::ranges::sort(hashes);
  hashes.erase(std::ranges::unique(hashes).begin(), hashes.end());
  return hashes;
}

/// The largest hash that a sketch can hold.
int64_t limit_of(const TextSketch& sketch) { return sketch.size() < kSketchSize ? INT64_MAX : sketch.back(); }

}  // namespace

void merge_sketch(const TextSketch& other, TextSketch& into) {
  TextSketch merged;
  std::ranges::set_union(into, other, std::back_inserter(merged));
  merged.resize(std::min(merged.size(), kSketchSize));
  into = std::move(merged);
}

void add_to_sketch(std::span<const TokenId> tokens, TextSketch& sketch) {
  merge_sketch(hashes_of(tokens, limit_of(sketch)), sketch);
}

Result<TextSketch> read_sketch(const Metadata& metadata) {
  if (!metadata.has(kSketchKey)) return TextSketch();
  CARAT_TRY(TextSketch sketch, metadata.integers_at(kSketchKey));
  if (sketch.size() > kSketchSize || !std::ranges::is_sorted(sketch) ||
      (!sketch.empty() && sketch.front() < 0))
    return bad_data("{} is not a sample of a text", kSketchKey);
  return sketch;
}

void write_sketch(const TextSketch& sketch, Metadata& metadata) {
  if (sketch.empty()) return;
  Array array;
  array.element = ValueType::i64;
  array.signeds = sketch;
  metadata.set(kSketchKey, {ValueType::array, std::move(array)});
}

void look_up(const TextSketch& sketch, std::span<const TokenId> tokens, TextOverlap& overlap) {
  for (const int64_t hash : hashes_of(tokens, limit_of(sketch))) {
    ++overlap.looked_up;
    overlap.found += std::ranges::binary_search(sketch, hash);
  }
}

}  // namespace carat
