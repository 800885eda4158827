#include "recipes/allocator.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace carat {
namespace {

uint64_t below(Random& random, uint64_t n) { return random.next() % n; }

std::vector<AllocationItem> random_items(Random& random, size_t items, size_t choices, uint64_t unit) {
  std::vector<AllocationItem> out(items);
  for (AllocationItem& item : out) {
    const double weight = std::exp(2 * random.normal());
    for (size_t c = 0; c < choices; ++c)
      item.push_back({unit * (1 + below(random, 40)), weight * std::exp(random.normal())});
  }
  return out;
}

/// Least cost by trying everything; infinite where nothing fits.
double brute_force(std::span<const AllocationItem> items, uint64_t budget) {
  if (items.empty()) return 0;
  double best = INFINITY;
  for (const AllocationChoice& c : items.front())
    if (c.bytes <= budget) best = std::min(best, c.cost + brute_force(items.subspan(1), budget - c.bytes));
  return best;
}

void expect_consistent(std::span<const AllocationItem> items, const Allocation& a) {
  uint64_t bytes = 0;
  double cost = 0;
  ASSERT_EQ(a.chosen.size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    bytes += items[i][a.chosen[i]].bytes;
    cost += items[i][a.chosen[i]].cost;
  }
  EXPECT_EQ(a.bytes, bytes);
  EXPECT_NEAR(a.cost, cost, 1e-12 * cost);
}

TEST(Allocator, IsAsGoodAsTryingEverything) {
  Random random(7);
  for (int run = 0; run < 300; ++run) {
    const auto items = random_items(random, 1 + below(random, 7), 1 + below(random, 5), 1);
    const uint64_t least = smallest_bytes(items);
    const uint64_t budget = least + below(random, largest_bytes(items) - least + 3);
    const auto a = allocate(items, budget);
    ASSERT_TRUE(a.ok()) << a.error().message;
    expect_consistent(items, *a);
    EXPECT_LE(a->bytes, budget);
    const double best = brute_force(items, budget);
    EXPECT_NEAR(a->cost, best, 1e-12 * best) << "run " << run;
    EXPECT_LE(a->bound, best * (1 + 1e-12));
  }
}

TEST(Allocator, LargeProblemsComeCloseToTheBound) {
  // As many tensors, and as alike in size, as a model has.
  Random random(8);
  std::vector<AllocationItem> items;
  const double bits[] = {2.625, 3.4375, 4.25, 4.5, 5, 5.5, 6.5625, 8.5};
  for (int i = 0; i < 400; ++i) {
    const double weights = 65536.0 * static_cast<double>(1 + below(random, 8));
    const double sensitivity = std::exp(1.5 * random.normal());
    AllocationItem item;
    for (const double b : bits)
      item.push_back({static_cast<uint64_t>(weights * b / 8),
                      sensitivity * std::exp2(-2 * b) * std::exp(0.2 * random.normal())});
    items.push_back(std::move(item));
  }
  const uint64_t least = smallest_bytes(items), most = largest_bytes(items);
  for (const double share : {0.05, 0.3, 0.7}) {
    const uint64_t budget = least + static_cast<uint64_t>(share * static_cast<double>(most - least));
    const auto a = allocate(items, budget);
    ASSERT_TRUE(a.ok());
    expect_consistent(items, *a);
    EXPECT_LE(a->bytes, budget);
    EXPECT_LT(a->cost, a->bound * 1.001);
  }
}

TEST(Allocator, EverythingAtItsBestWhereTheBudgetAllowsIt) {
  const std::vector<AllocationItem> items{{{10, 5}, {20, 1}, {30, 1}}, {{4, 2}, {8, 0}}};
  const auto a = allocate(items, 1000);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->bytes, 28u);
  EXPECT_EQ(a->cost, 1);
  EXPECT_EQ(a->bound, 1);
}

TEST(Allocator, SaysWhatTheLeastIs) {
  const std::vector<AllocationItem> items{{{10, 5}, {20, 1}}, {{4, 2}}};
  const auto a = allocate(items, 13);
  ASSERT_FALSE(a.ok());
  EXPECT_EQ(a.error().code, Code::usage);
  EXPECT_NE(a.error().message.find("14 bytes"), std::string::npos) << a.error().message;
  EXPECT_TRUE(allocate(items, 14).ok());
  EXPECT_FALSE(allocate_within_cost(items, 2.9).ok());
}

TEST(Allocator, FewestBytesForACost) {
  Random random(9);
  for (int run = 0; run < 100; ++run) {
    const auto items = random_items(random, 1 + below(random, 6), 1 + below(random, 4), 1);
    const double least = brute_force(items, 1u << 30), most = brute_force(items, smallest_bytes(items));
    const double limit = (least + random.uniform() * (most - least)) * (1 + 1e-9);
    const auto a = allocate_within_cost(items, limit);
    ASSERT_TRUE(a.ok()) << a.error().message;
    EXPECT_LE(a->cost, limit);
    if (a->bytes == smallest_bytes(items)) continue;
    EXPECT_GT(brute_force(items, a->bytes - 1), limit) << "run " << run;
  }
}

}  // namespace
}  // namespace carat
