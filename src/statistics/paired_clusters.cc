#include "statistics/paired_clusters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "statistics/distributions.h"
#include "statistics/paired_shares.h"

namespace carat {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kResamples = 9999;
constexpr int64_t kAllFlips = 13;  // 8192 of them
constexpr uint64_t kResampleSeed = 0x626f6f74, kFlipSeed = 0x666c6970;
// Below this share of the largest difference a spread is what rounding left.
constexpr double kRounding = 1e-12;

}  // namespace

ClusterDifference::ClusterDifference(std::vector<ClusterSum> clusters, double scale)
    : clusters_(std::move(clusters)), scale_(scale) {
  double sum = 0, weight = 0, moves = 0, largest = 0;
  for (const ClusterSum& c : clusters_) {
    sum += c.sum, weight += c.weight, moves += std::abs(c.sum);
    largest = std::max(largest, std::abs(c.sum));
    worse_ += c.sum > 0, better_ += c.sum < 0;
  }
  if (clusters_.empty()) return;
  mean_ = sum / weight;
  const double groups = static_cast<double>(clusters_.size());
  if (moved() > 0) move_ = moves * groups / weight / static_cast<double>(moved());
  if (clusters_.size() < 2) return;
  double squares = 0;
  for (const ClusterSum& c : clusters_) {
    const double residual = c.sum - mean_ * c.weight;
    squares += residual * residual;
  }
  error_ = std::sqrt(squares * groups / (groups - 1)) / weight;
  if (error_ * weight > kRounding * largest) {
    resample();
  } else {
    error_ = 0;
  }
}

void ClusterDifference::resample() {
  Random random(kResampleSeed);
  const uint64_t n = clusters_.size();
  resamples_.reserve(kResamples);
  std::vector<double> residuals;  // about the mean, so that little is lost where squares are subtracted
  for (const ClusterSum& c : clusters_) residuals.push_back(c.sum - mean_ * c.weight);
  double below = 0;
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0, weight = 0, rr = 0, rw = 0, ww = 0;
    for (uint64_t k = 0; k < n; ++k) {
      const uint64_t drawn = (random.next() >> 32) * n >> 32;
      const ClusterSum& c = clusters_[drawn];
      const double r = residuals[drawn];
      sum += c.sum, weight += c.weight, rr += r * r, rw += r * c.weight, ww += c.weight * c.weight;
    }
    const double mean = sum / weight, away = mean - mean_;
    below += mean < mean_ ? 1 : mean == mean_ ? 0.5 : 0;
    resamples_.push_back(mean);
    // Of its own residuals; one cluster alone, drawn again and again, has none and tells nothing.
    const double squares = rr - 2 * away * rw + away * away * ww;
    if (squares > kRounding * rr)
      studentized_.push_back(away * weight /
                             std::sqrt(squares * static_cast<double>(n) / static_cast<double>(n - 1)));
  }
  std::sort(resamples_.begin(), resamples_.end());
  std::sort(studentized_.begin(), studentized_.end());
  bias_ = normal_quantile(std::clamp(below, 1.0, static_cast<double>(kResamples - 1)) / kResamples);

  // Acceleration from the jackknife, one cluster left out at a time; leaving one of them out moves the ratio
  // by about -residual / (all other weight).
  double total = 0;
  for (const ClusterSum& c : clusters_) total += c.weight;
  double second = 0, third = 0, first = 0;
  const auto left_out = [&](const ClusterSum& c) { return (c.sum - mean_ * c.weight) / (total - c.weight); };
  for (const ClusterSum& c : clusters_) first += left_out(c);
  first /= static_cast<double>(n);
  for (const ClusterSum& c : clusters_) {
    const double d = left_out(c) - first;
    second += d * d, third += d * d * d;
  }
  skewness_ = second > 0 ? third / (6 * std::pow(second, 1.5)) : 0;
}

// The end of the one-sided BCa interval at `level`.
double ClusterDifference::corrected(double level) const {
  const double z = bias_ + normal_quantile(level), shrink = 1 - skewness_ * z;
  const double share = shrink > 0 ? normal_cdf(bias_ + z / shrink) : (z > 0 ? 1.0 : 0.0);
  // From the lower end down and from the upper end up: the discreteness of the resamples never narrows it.
  const double place = share * (kResamples + 1);
  const double index = level < 0.5 ? std::floor(place) : std::ceil(place);
  return resamples_[static_cast<size_t>(std::clamp(index, 1.0, static_cast<double>(kResamples))) - 1];
}

// One minus the level whose upper end is `margin`: corrected() solved for it. Beyond every resample, where
// corrected() ends too, the least that so many resamples can say.
double ClusterDifference::corrected_p(double margin) const {
  const auto from = std::lower_bound(resamples_.begin(), resamples_.end(), margin);
  const auto to = std::upper_bound(from, resamples_.end(), margin);
  const double below = static_cast<double>((from - resamples_.begin()) + (to - resamples_.begin())) / 2;
  if (below == 0) return 1;
  if (below == kResamples) return 1.0 / (kResamples + 1);
  const double z = normal_quantile(below / (kResamples + 1)) - bias_, stretch = 1 + skewness_ * z;
  return stretch > 0 ? normal_cdf(bias_ - z / stretch) : (z > 0 ? 0 : 1);
}

bool ClusterDifference::sparse() const { return moved() < kExactBelow && moved() < clusters(); }

Interval ClusterDifference::interval(double confidence) const {
  if (clusters_.size() < 2) return {-kInfinity, kInfinity};
  const double alpha = (1 - confidence) / 2;
  const double t = student_quantile(1 - alpha, static_cast<double>(clusters_.size() - 1));
  Interval out{mean_ - t * error_, mean_ + t * error_};
  const auto widen = [&](double low, double high) {
    out.low = std::min(out.low, low), out.high = std::max(out.high, high);
  };
  if (!resamples_.empty()) widen(corrected(alpha), corrected(1 - alpha));
  const size_t count = studentized_.size();
  const auto tail = static_cast<size_t>(alpha * static_cast<double>(count + 1));
  if (tail > 0) widen(mean_ - studentized_[count - tail] * error_, mean_ - studentized_[tail - 1] * error_);
  if (sparse()) {
    const Interval shares = damage_interval({clusters(), worse_, better_}, confidence);
    const double size = moved() > 0 ? move_ : scale_;
    widen(shares.low * size, shares.high * size);
  } else if (resamples_.empty()) {
    const double hidden = hidden_share(static_cast<double>(clusters_.size()), alpha) * scale_;
    widen(mean_ - hidden, mean_ + hidden);
  }
  return out;
}

double ClusterDifference::p_at_least(double margin) const {
  if (clusters_.size() < 2) return 1;
  const double groups = static_cast<double>(clusters_.size());
  double p = 0;
  if (error_ > 0) p = student_cdf((mean_ - margin) / error_, groups - 1);
  if (!resamples_.empty()) p = std::max(p, corrected_p(margin));
  if (!studentized_.empty()) {
    const auto beyond = std::upper_bound(studentized_.begin(), studentized_.end(), (mean_ - margin) / error_);
    p = std::max(p, static_cast<double>(beyond - studentized_.begin() + 1) /
                        static_cast<double>(studentized_.size() + 1));
  }
  if (sparse()) {
    const double size = moved() > 0 ? move_ : scale_;
    const double share = margin / size;
    p = std::max(p, share >= 1    ? 0
                    : share <= -1 ? 1
                                  : p_damage_at_least({clusters(), worse_, better_}, share));
  } else if (resamples_.empty()) {
    // Every cluster moved alike: as if the rest could hide in (margin - mean) / scale of them.
    const double share = (margin - mean_) / scale_;
    p = std::max(p, share <= 0 ? 1 : share >= 1 ? 0 : std::exp(groups * std::log1p(-share)));
  }
  return p;
}

double ClusterDifference::p_at_most(double margin) const {
  if (clusters_.size() < 2) return 1;
  ClusterDifference mirrored = *this;
  for (ClusterSum& c : mirrored.clusters_) c.sum = -c.sum;
  std::swap(mirrored.worse_, mirrored.better_);
  mirrored.mean_ = -mean_;
  std::reverse(mirrored.resamples_.begin(), mirrored.resamples_.end());
  for (double& m : mirrored.resamples_) m = -m;
  std::reverse(mirrored.studentized_.begin(), mirrored.studentized_.end());
  for (double& t : mirrored.studentized_) t = -t;
  mirrored.bias_ = -bias_, mirrored.skewness_ = -skewness_;
  return mirrored.p_at_least(-margin);
}

double ClusterDifference::p_sign_flip() const {
  std::vector<double> sizes;
  double seen = 0;
  for (const ClusterSum& c : clusters_) {
    if (c.sum != 0) sizes.push_back(std::abs(c.sum));
    seen += c.sum;
  }
  if (sizes.empty()) return 1;
  double all = 0;
  for (const double s : sizes) all += s;
  const double bound = seen - kRounding * all;  // sums in another order are as extreme as what was seen
  if (static_cast<int64_t>(sizes.size()) <= kAllFlips) {
    const uint32_t flips = 1u << sizes.size();
    int64_t extreme = 0;
    for (uint32_t flip = 0; flip < flips; ++flip) {
      double sum = 0;
      for (size_t k = 0; k < sizes.size(); ++k) sum += flip >> k & 1 ? sizes[k] : -sizes[k];
      extreme += sum >= bound;
    }
    return static_cast<double>(extreme) / flips;
  }
  Random random(kFlipSeed);
  int64_t extreme = 1;  // what was seen is one of them
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (size_t k = 0; k < sizes.size();) {
      uint64_t bits = random.next();
      for (const size_t end = std::min(sizes.size(), k + 64); k < end; ++k, bits >>= 1)
        sum += bits & 1 ? sizes[k] : -sizes[k];
    }
    extreme += sum >= bound;
  }
  return static_cast<double>(extreme) / (kResamples + 1);
}

}  // namespace carat
