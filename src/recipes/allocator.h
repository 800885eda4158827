// Chooses one of several ways to store each tensor, so that a predicted cost is least under a budget of
// bytes: the multiple-choice knapsack problem. Pure: bytes and costs in, choices out.
//
// A price per byte (the Lagrangian multiplier) gives each item a best choice of its own, and all together the
// best for the bytes they happen to take. At the price where the budget is passed, these choices and a greedy
// repair give a first allocation, and the price a bound that none can beat. Between them only choices count
// that are worse than their item's best by less than the gap, which are few: going through them item by item,
// with dominated sums thrown away, finds the best allocation to the byte. Where the sums become too many the
// most promising ones are kept; `bound` says how much can have been lost (some 1e-4 of the cost in models of
// hundreds of tensors).
//
// Rejected: the price alone (it leaves up to a whole tensor's step of the budget unused), and a table over
// bytes (hundreds of millions of columns).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"

namespace carat {

struct AllocationChoice {
  uint64_t bytes = 0;
  double cost = 0;  ///< finite, at least 0
};
/// What there is to choose from for one tensor; at least one.
using AllocationItem = std::vector<AllocationChoice>;

struct Allocation {
  std::vector<size_t> chosen;  ///< by item
  uint64_t bytes = 0;
  double cost = 0;
  double bound = 0;  ///< no allocation within the budget costs less
};

/// The bytes of the smallest and of the largest sensible allocation (each item at its least cost).
uint64_t smallest_bytes(std::span<const AllocationItem> items);
uint64_t largest_bytes(std::span<const AllocationItem> items);

/// Of least cost within `budget` bytes; of those of equal cost, one of fewer bytes. usage error where even
/// the smallest is larger.
Result<Allocation> allocate(std::span<const AllocationItem> items, uint64_t budget);

/// The other way round: of fewest bytes among those found within `limit` of cost. usage error where the least
/// cost is higher.
Result<Allocation> allocate_within_cost(std::span<const AllocationItem> items, double limit);

}  // namespace carat
