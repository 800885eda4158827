#include "stats/text_sketch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace carat {
namespace {

std::vector<TokenId> random_tokens(uint64_t seed, size_t n) {
  Random random(seed);
  std::vector<TokenId> tokens(n);
  for (TokenId& t : tokens) t = static_cast<TokenId>(random.next() % 30000);
  return tokens;
}

TEST(TextSketch, FindsTheShareThatIsInTheText) {
  TextSketch sketch;
  const auto text = random_tokens(1, 60000);
  for (size_t at = 0; at < text.size(); at += 512)
    add_to_sketch(std::span(text).subspan(at, std::min<size_t>(512, text.size() - at)), sketch);
  EXPECT_EQ(sketch.size(), kSketchSize);
  EXPECT_TRUE(std::ranges::is_sorted(sketch));
  for (const double share : {0.0, 0.1, 0.5, 1.0}) {
    auto other = random_tokens(2, 20000);
    const auto shared = static_cast<size_t>(20000 * share);
    std::copy_n(text.begin() + 7000, shared, other.begin());
    TextOverlap overlap;
    look_up(sketch, other, overlap);
    EXPECT_GT(overlap.looked_up, 400);
    // Runs across the edges of the 512 were not in the sample: 12 of 512.
    EXPECT_NEAR(overlap.share(), share, 0.06) << share;
  }
}

TEST(TextSketch, OfAShortTextHoldsAllOfIt) {
  TextSketch sketch;
  const auto text = random_tokens(3, 100);
  add_to_sketch(text, sketch);
  EXPECT_EQ(sketch.size(), 100 - kSketchGram + 1);
  TextOverlap overlap;
  look_up(sketch, std::span(text).first(kSketchGram), overlap);
  EXPECT_EQ(overlap.found, 1);
  look_up(sketch, std::span(text).first(kSketchGram - 1), overlap);  // too short to say
  EXPECT_EQ(overlap.looked_up, 1);
  overlap = {};
  look_up({}, text, overlap);
  EXPECT_EQ(overlap.found, 0);
}

TEST(TextSketch, MergedIsAsIfOneHadSeenAll) {
  const auto a = random_tokens(4, 9000), b = random_tokens(5, 9000);
  TextSketch first, second, both;
  add_to_sketch(a, first);
  add_to_sketch(b, second);
  add_to_sketch(b, both);
  add_to_sketch(a, both);
  merge_sketch(second, first);
  EXPECT_EQ(first, both);
}

}  // namespace
}  // namespace carat
