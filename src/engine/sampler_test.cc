#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace carat {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

SamplerOptions everything() {
  SamplerOptions o;
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

std::vector<float> random_logits(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(3 * random.normal());
  return x;
}

/// Probabilities that the options should give, from their definitions: sort everything, normalise at each
/// stage.
std::map<TokenId, double> expected_distribution(std::vector<float> logits, const SamplerOptions& o,
                                                const std::vector<TokenId>& history) {
  size_t window = history.size();
  if (o.repetition_window >= 0) window = std::min<size_t>(window, o.repetition_window);
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::find(history.end() - window, history.end(), static_cast<TokenId>(id)) == history.end()) continue;
    logits[id] = logits[id] > 0 ? logits[id] / o.repetition_penalty : logits[id] * o.repetition_penalty;
  }
  std::vector<std::pair<float, TokenId>> order;
  for (size_t id = 0; id < logits.size(); ++id) order.emplace_back(-logits[id], static_cast<TokenId>(id));
  std::sort(order.begin(), order.end());
  if (o.top_k > 0) order.resize(std::min<size_t>(order.size(), o.top_k));
  const auto probabilities = [&](double temperature) {
    std::vector<double> p;
    double total = 0;
    for (const auto& [negative, id] : order) p.push_back(std::exp((order[0].first - negative) / temperature));
    for (double v : p) total += v;
    for (double& v : p) v /= total;
    return p;
  };
  auto p = probabilities(1);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    sum += p[i];
    if (sum >= o.top_p) {
      order.resize(i + 1);
      break;
    }
  }
  p = probabilities(1);
  while (p.size() > 1 && p.back() < o.min_p * p[0]) {
    p.pop_back();
    order.pop_back();
  }
  p = probabilities(o.temperature);
  std::map<TokenId, double> out;
  for (size_t i = 0; i < p.size(); ++i) out[order[i].second] = p[i];
  return out;
}

/// Draws often and compares with the expected distribution: exactly its support, and frequencies.
void check(const std::vector<float>& logits, const SamplerOptions& options,
           const std::vector<TokenId>& history = {}) {
  const auto expected = expected_distribution(logits, options, history);
  constexpr int draws = 20000;
  std::map<TokenId, int> seen;
  Sampler sampler(options);
  for (int i = 0; i < draws; ++i) ++seen[sampler.sample(logits, history)];
  for (const auto& [id, count] : seen) {
    ASSERT_TRUE(expected.contains(id)) << id;
    const double p = expected.at(id);
    EXPECT_NEAR(count, draws * p, 5 * std::sqrt(draws * p * (1 - p)) + 1) << id;
  }
  for (const auto& [id, p] : expected) {
    EXPECT_TRUE(seen.contains(id) || p <= 0.002) << id;
  }
}

TEST(Sampler, DrawsFromTheDistributionOfItsOptions) {
  const auto logits = random_logits(300, 1);
  check(logits, everything());
  SamplerOptions o = everything();
  o.temperature = 0.6f;
  check(logits, o);
  o.top_k = 7;
  check(logits, o);
  o.top_p = 0.8f;
  check(logits, o);
  o.top_k = 0;
  check(logits, o);
  o.top_p = 0.999f;  // more than the first batch that is sorted
  check(logits, o);
  o.min_p = 0.1f;
  check(logits, o);
  check(logits, SamplerOptions{});
  o = everything();
  o.repetition_penalty = 1.7f;
  o.repetition_window = 4;
  check(logits, o, {1, 2, 3, 4, 5, 6, 6, 6, 250, 299});
  o.repetition_window = -1;
  check(logits, o, {1, 2, 3, 4, 5, 6, 6, 6, 250, 299});
}

TEST(Sampler, DrawsFromALargeVocabularyAsFromASmallOne) {
  // The likely tokens lie anywhere, at the edges of blocks too, and some are equal.
  std::vector<float> logits = random_logits(5003, 3);
  for (float& v : logits) v = std::min(v, 6.0f);
  for (const size_t i : {0, 31, 32, 2047, 2048, 4991, 4992, 5002}) logits[i] = 9;
  for (const size_t i : {1, 33, 63, 64, 3000, 5001}) logits[i] = 8.5f;
  logits[100] = 10;
  SamplerOptions o = everything();
  for (const int64_t k : {1, 5, 9, 40, 300}) {
    o.top_k = k;
    check(logits, o);
  }
  o.top_k = 0;
  for (const float p : {0.05f, 0.3f}) {
    o.top_p = p;
    check(logits, o);
  }
  o.top_p = 1;
  o.min_p = 0.3f;
  check(logits, o);
  o.temperature = 0;
  EXPECT_EQ(Sampler(o).sample(logits, {}), 100);
  o.repetition_penalty = 5;
  EXPECT_EQ(Sampler(o).sample(logits, std::vector<TokenId>{100}), 0);
}

TEST(Sampler, GreedyTakesTheFirstOfTheLargest) {
  SamplerOptions o;
  o.temperature = 0;
  EXPECT_EQ(Sampler(o).sample(std::vector<float>{1, 5, 2, 5, 5}, {}), 1);
  o.repetition_penalty = 2;
  EXPECT_EQ(Sampler(o).sample(std::vector<float>{1, 5, 4, -1, -7}, std::vector<TokenId>{1, 77, -3}), 2);
}

TEST(Sampler, RepeatsItselfWithTheSameSeed) {
  const auto logits = random_logits(1000, 2);
  const auto draw = [&](uint64_t seed) {
    SamplerOptions o;
    o.temperature = 1.5f;
    o.seed = seed;
    Sampler sampler(o);
    std::vector<TokenId> out;
    for (int i = 0; i < 50; ++i) out.push_back(sampler.sample(logits, {}));
    return out;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(Sampler, SurvivesWhatIsNotANumber) {
  const std::vector<float> logits = {std::nanf(""), -infinity, 2, std::nanf("")};
  EXPECT_EQ(Sampler(SamplerOptions{}).sample(logits, {}), 2);
  EXPECT_EQ(Sampler(everything()).sample(logits, {}), 2);
  SamplerOptions top_p = everything();
  top_p.top_p = 0.9f;
  EXPECT_EQ(Sampler(top_p).sample(logits, {}), 2);
  SamplerOptions few = everything();
  few.top_k = 2;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Sampler(few).sample(logits, {}), 2);
  EXPECT_EQ(Sampler(SamplerOptions{}).sample(std::vector<float>{1, infinity, infinity}, {}), 1);
  const std::vector<float> nothing(5, std::nanf(""));
  for (const SamplerOptions& o : {SamplerOptions{}, everything()}) {
    const TokenId id = Sampler(o).sample(nothing, {});
    EXPECT_TRUE(id >= 0 && id < 5);
  }
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  EXPECT_TRUE(SamplerOptions{}.check().ok());
  const auto refused = [](auto&& change) {
    SamplerOptions o;
    change(o);
    const Status status = o.check();
    return !status.ok() && status.error().code == Code::usage;
  };
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.temperature = -1; }));
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.temperature = std::nanf(""); }));
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.top_k = -1; }));
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.top_p = 0; }));
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.min_p = 1.5f; }));
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.repetition_penalty = 0; }));
  EXPECT_TRUE(refused([](SamplerOptions& o) { o.repetition_window = -2; }));
}

}  // namespace
}  // namespace carat
