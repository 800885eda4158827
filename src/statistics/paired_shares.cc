#include "statistics/paired_shares.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "statistics/distributions.h"

namespace carat {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Of the nuisance: given up for its interval, the points at which it is tried, and the steps of the search
// between them, which together miss the largest probability by less than a hundredth of it
// (tools/oracle_statistics.py tries 2000 points).
constexpr double kNuisance = 1e-5;
constexpr int kNuisancePoints = 24, kRefinements = 5;
constexpr double kNegligible = 1e-12;  // a tail that is left out
constexpr int kBisections = 26;

bool few(const PairedCounts& c) { return c.worse + c.better < kExactBelow; }

// The tables that are at least as extreme: for `better` = 0, 1, ... up to limit, the largest `worse` among
// them, or -1. The statistic grows with worse and falls with better, so one walk finds the border.
std::vector<int64_t> border(const PairedCounts& seen, double margin, int64_t limit) {
  const double bound = score_statistic(seen, margin) + 1e-9;
  std::vector<int64_t> out;
  int64_t worse = -1;
  for (int64_t better = 0; better <= limit; ++better) {
    while (worse + 1 + better <= seen.items &&
           score_statistic({seen.items, worse + 1, better}, margin) <= bound) {
      ++worse;
    }
    out.push_back(std::min(worse, seen.items - better));
  }
  return out;
}

// P(table within the border) where changes for the better have probability q and for the worse q + margin.
double probability_within(const std::vector<int64_t>& most, int64_t items, double margin, double q) {
  const double r = std::min(1.0, std::max(0.0, q + margin) / (1 - q));  // of worse among those not better
  const double n = static_cast<double>(items);
  double point = std::exp(n * std::log1p(-q)), sum = 0, seen = 0;
  for (size_t k = 0; k < most.size() && seen < 1 - kNegligible; ++k) {
    const auto better = static_cast<int64_t>(k);
    if (k > 0) point *= (n - static_cast<double>(k) + 1) / static_cast<double>(k) * q / (1 - q);
    seen += point;
    if (point > kNegligible) sum += point * binomial_at_most(most[k], items - better, r);
  }
  return sum;
}

// The largest margin that p refuses nowhere above: p falls with the margin.
double upper_bound(const PairedCounts& counts, double alpha) {
  double low = counts.damage(), high = 1;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    (p_damage_at_least(counts, middle) > alpha ? low : high) = middle;
  }
  return high;
}

}  // namespace

McNemar mcnemar(int64_t worse, int64_t better) {
  const int64_t changed = worse + better;
  if (changed == 0) return {1, 0.5};
  const double p = binomial_at_least(worse, changed, 0.5);
  const double beyond = binomial_at_least(worse + 1, changed, 0.5);
  return {p, (p + beyond) / 2};
}

// Tango 1998, equations 2 to 4: b = worse, c = better, q the constrained maximum-likelihood estimate of the
// probability of c.
double score_statistic(const PairedCounts& counts, double margin) {
  if (margin < 0) return -score_statistic(counts.reversed(), -margin);
  const double n = static_cast<double>(counts.items), b = static_cast<double>(counts.worse),
               c = static_cast<double>(counts.better);
  const double x = 2 * n, y = (2 * n - b + c) * margin - b - c, z = -c * margin * (1 - margin);
  const double q = (std::sqrt(std::max(0.0, y * y - 4 * x * z)) - y) / (2 * x);
  const double variance = n * (2 * q + margin * (1 - margin));
  const double excess = b - c - n * margin;
  if (variance <= 0) return excess > 0 ? kInfinity : excess < 0 ? -kInfinity : 0;
  return excess / std::sqrt(variance);
}

double exact_p_damage_at_least(const PairedCounts& counts, double margin) {
  const int64_t n = counts.items;
  if (n == 0) return 1;
  const Interval share =
      exact_share(static_cast<double>(counts.better), static_cast<double>(n), 1 - kNuisance);
  // The two probabilities must leave room for each other: q >= -margin, 2 q + margin <= 1.
  const double least = std::max({share.low, -margin, 0.0});
  const double most = std::min(std::max(share.high, least), (1 - margin) / 2);
  int64_t limit = counts.better;
  while (limit < n && binomial_at_least(limit + 1, n, most) > kNegligible) limit += 1 + limit / 8;
  const std::vector<int64_t> within = border(counts, margin, std::min(limit, n));
  const auto nuisance = [&](double part) {  // denser where few changes are likely
    return std::min(least + (most - least) * part * part, 1 - kNegligible);
  };
  const auto probability = [&](double part) { return probability_within(within, n, margin, nuisance(part)); };
  double p = 0, best = 0;
  for (int i = 0; i <= kNuisancePoints; ++i) {
    const double part = static_cast<double>(i) / kNuisancePoints, here = probability(part);
    if (here > p) p = here, best = part;
  }
  // The top between the neighbours of the best.
  double from = std::max(0.0, best - 1.0 / kNuisancePoints), to = std::min(1.0, best + 1.0 / kNuisancePoints);
  for (int i = 0; i < kRefinements; ++i) {
    const double third = (to - from) / 3, left = probability(from + third), right = probability(to - third);
    p = std::max({p, left, right});
    left < right ? from += third : to -= third;
  }
  return std::min(1.0, p + kNuisance);
}

double p_damage_at_least(const PairedCounts& counts, double margin) {
  if (counts.items == 0) return 1;
  return few(counts) ? exact_p_damage_at_least(counts, margin) : normal_cdf(score_statistic(counts, margin));
}

double p_damage_at_most(const PairedCounts& counts, double margin) {
  if (margin == 0) return mcnemar(counts.worse, counts.better).p;
  return p_damage_at_least(counts.reversed(), -margin);
}

Interval damage_interval(const PairedCounts& counts, double confidence) {
  if (counts.items == 0) return {-1, 1};
  const double alpha = (1 - confidence) / 2;
  return {-upper_bound(counts.reversed(), alpha), upper_bound(counts, alpha)};
}

}  // namespace carat
