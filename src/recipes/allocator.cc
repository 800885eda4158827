#include "recipes/allocator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace carat {
namespace {

/// Sums that are followed from item to item.
constexpr size_t kMostStates = 1 << 14;

/// A choice that no other of its item beats in both bytes and cost.
struct Option {
  uint64_t bytes;
  double cost;
  size_t choice;
};

std::vector<Option> undominated(const AllocationItem& item) {
  std::vector<Option> all;
  for (size_t c = 0; c < item.size(); ++c) all.push_back({item[c].bytes, item[c].cost, c});
  std::stable_sort(all.begin(), all.end(), [](const Option& a, const Option& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.cost < b.cost;
  });
  std::vector<Option> kept;
  for (const Option& o : all)
    if (kept.empty() || o.cost < kept.back().cost) kept.push_back(o);
  return kept;
}

double saved_per_byte(const Option& from, const Option& to) {
  return (from.cost - to.cost) / static_cast<double>(to.bytes - from.bytes);
}

/// Those on the lower convex hull: what some price makes an item's best.
std::vector<size_t> hull(const std::vector<Option>& options) {
  std::vector<size_t> kept;
  for (size_t o = 0; o < options.size(); ++o) {
    while (kept.size() > 1 && saved_per_byte(options[kept[kept.size() - 2]], options[kept.back()]) <=
                                  saved_per_byte(options[kept.back()], options[o]))
      kept.pop_back();
    kept.push_back(o);
  }
  return kept;
}

/// From one choice on an item's hull to the next.
struct Step {
  size_t item, from, to;
  double worth;  ///< cost saved per byte
};

class Allocator {
 public:
  explicit Allocator(std::span<const AllocationItem> items) {
    for (const AllocationItem& item : items) options_.push_back(undominated(item));
    for (size_t i = 0; i < options_.size(); ++i) {
      const std::vector<size_t> points = hull(options_[i]);
      for (size_t p = 1; p < points.size(); ++p)
        steps_.push_back({i, points[p - 1], points[p],
                          saved_per_byte(options_[i][points[p - 1]], options_[i][points[p]])});
    }
    std::stable_sort(steps_.begin(), steps_.end(),
                     [](const Step& a, const Step& b) { return a.worth > b.worth; });
  }

  Allocation solve(uint64_t budget) {
    const double price = greedy(budget);
    if (price > 0) improve(budget, price);
    return result(price, budget);
  }

 private:
  const Option& at(size_t item) const { return options_[item][chosen_[item]]; }

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (size_t i = 0; i < options_.size(); ++i) sum += at(i).bytes;
    return sum;
  }
  double cost() const {
    double sum = 0;
    for (size_t i = 0; i < options_.size(); ++i) sum += at(i).cost;
    return sum;
  }

  /// Steps by worth as far as they fit. Returns the price at which the budget is passed, or 0.
  double greedy(uint64_t budget) {
    chosen_.assign(options_.size(), 0);
    uint64_t used = bytes();
    double price = 0;
    for (const Step& s : steps_) {
      const uint64_t more = options_[s.item][s.to].bytes - options_[s.item][s.from].bytes;
      if (chosen_[s.item] == s.from && used + more <= budget) {
        chosen_[s.item] = s.to;
        used += more;
      } else if (price == 0) {
        price = s.worth;
      }
    }
    return price;
  }

  /// How much worse an option is than its item's best at that price.
  double excess(size_t item, const Option& o, double price) const {
    const auto priced = [&](const Option& x) { return x.cost + price * static_cast<double>(x.bytes); };
    double least = std::numeric_limits<double>::infinity();
    for (const Option& x : options_[item]) least = std::min(least, priced(x));
    return priced(o) - least;
  }
  double bound(double price, uint64_t budget) const {
    double sum = -price * static_cast<double>(budget);
    for (size_t i = 0; i < options_.size(); ++i) {
      double least = std::numeric_limits<double>::infinity();
      for (const Option& o : options_[i])
        least = std::min(least, o.cost + price * static_cast<double>(o.bytes));
      sum += least;
    }
    return sum;
  }

  struct State {
    uint64_t bytes;
    double cost, excess;
    uint32_t parent, option;
  };

  /// Looks for an allocation that costs less than chosen_.
  void improve(uint64_t budget, double price) {
    const double best = cost();
    // What rounding may have taken from sums of hundreds of numbers is given back.
    const double gap = best - bound(price, budget) + 1e-12 * best;
    struct Open {
      size_t item;
      std::vector<size_t> options;
      std::vector<double> excess;
    };
    std::vector<Open> open;
    uint64_t fixed_bytes = 0;
    double fixed_cost = 0;
    std::vector<size_t> chosen = chosen_;
    for (size_t i = 0; i < options_.size(); ++i) {
      Open o{i, {}, {}};
      for (size_t c = 0; c < options_[i].size(); ++c)
        if (const double e = excess(i, options_[i][c], price); e <= gap) {
          o.options.push_back(c);
          o.excess.push_back(e);
        }
      if (o.options.size() > 1) {
        open.push_back(std::move(o));
      } else {
        if (o.options.size() == 1) chosen[i] = o.options.front();
        fixed_bytes += options_[i][chosen[i]].bytes;
        fixed_cost += options_[i][chosen[i]].cost;
      }
    }
    // The fewest bytes that what comes after an item can take.
    std::vector<uint64_t> least_after(open.size() + 1, 0);
    for (size_t k = open.size(); k-- > 0;)
      least_after[k] = least_after[k + 1] + options_[open[k].item][open[k].options.front()].bytes;

    std::vector<std::vector<State>> stages{{State{fixed_bytes, fixed_cost, 0, 0, 0}}};
    for (size_t k = 0; k < open.size(); ++k) {
      std::vector<State> next;
      const std::vector<State>& now = stages.back();
      for (size_t s = 0; s < now.size(); ++s)
        for (size_t c = 0; c < open[k].options.size(); ++c) {
          const Option& o = options_[open[k].item][open[k].options[c]];
          const State to{now[s].bytes + o.bytes, now[s].cost + o.cost, now[s].excess + open[k].excess[c],
                         static_cast<uint32_t>(s), static_cast<uint32_t>(open[k].options[c])};
          if (to.excess <= gap && to.bytes + least_after[k + 1] <= budget) next.push_back(to);
        }
      keep_best(next);
      stages.push_back(std::move(next));
    }
    if (stages.back().empty()) return;
    // In order of bytes with falling costs: the last one.
    size_t s = stages.back().size() - 1;
    if (!(stages.back()[s].cost < best)) return;
    for (size_t k = open.size(); k-- > 0;) {
      const State& state = stages[k + 1][s];
      chosen[open[k].item] = state.option;
      s = state.parent;
    }
    chosen_ = std::move(chosen);
  }

  /// Those that none of fewer bytes beats, in order of bytes; the likeliest where they are too many.
  static void keep_best(std::vector<State>& states) {
    std::stable_sort(states.begin(), states.end(), [](const State& a, const State& b) {
      return a.bytes != b.bytes ? a.bytes < b.bytes : a.cost < b.cost;
    });
    size_t kept = 0;
    for (const State& s : states)
      if (kept == 0 || s.cost < states[kept - 1].cost) states[kept++] = s;
    states.resize(kept);
    if (kept <= kMostStates) return;
    std::vector<double> excess;
    for (const State& s : states) excess.push_back(s.excess);
    std::nth_element(excess.begin(), excess.begin() + kMostStates, excess.end());
    const double limit = excess[kMostStates];
    std::erase_if(states, [&](const State& s) { return s.excess >= limit; });
  }

  Allocation result(double price, uint64_t budget) const {
    Allocation a;
    for (size_t i = 0; i < options_.size(); ++i) a.chosen.push_back(at(i).choice);
    a.bytes = bytes();
    a.cost = cost();
    a.bound = price > 0 ? std::min(a.cost, bound(price, budget)) : a.cost;
    return a;
  }

  std::vector<std::vector<Option>> options_;
  std::vector<Step> steps_;
  std::vector<size_t> chosen_;  ///< indices of options_
};

}  // namespace

uint64_t smallest_bytes(std::span<const AllocationItem> items) {
  uint64_t sum = 0;
  for (const AllocationItem& item : items) sum += undominated(item).front().bytes;
  return sum;
}

uint64_t largest_bytes(std::span<const AllocationItem> items) {
  uint64_t sum = 0;
  for (const AllocationItem& item : items) sum += undominated(item).back().bytes;
  return sum;
}

Result<Allocation> allocate(std::span<const AllocationItem> items, uint64_t budget) {
  if (const uint64_t least = smallest_bytes(items); least > budget)
    return usage_error("the smallest choice of all takes {} bytes, more than {}", least, budget);
  return Allocator(items).solve(budget);
}

Result<Allocation> allocate_within_cost(std::span<const AllocationItem> items, double limit) {
  Allocator allocator(items);
  uint64_t high = largest_bytes(items);
  Allocation best = allocator.solve(high);
  if (best.cost > limit)
    return usage_error("the least cost of all is {:.4g}, more than {:.4g}", best.cost, limit);
  // Finer than any tensor's step.
  uint64_t low = smallest_bytes(items);
  if (Allocation smallest = allocator.solve(low); smallest.cost <= limit) return smallest;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    Allocation a = allocator.solve(middle);
    if (a.cost <= limit) {
      high = a.bytes;
      best = std::move(a);
    } else {
      low = middle;
    }
  }
  return best;
}

}  // namespace carat
