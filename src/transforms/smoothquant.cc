#include "transforms/smoothquant.h"

#include <algorithm>
#include <cmath>

#include "transforms/group_statistics.h"

namespace carat {
namespace {

constexpr int64_t kRowsAtOnce = 64;

/// The largest absolute weight of each channel over all readers.
Result<std::vector<double>> weight_peaks(const Context& context, const FoldGroup& group,
                                         const Checkpoint& checkpoint) {
  const size_t columns = group.channel_of_column.size();
  std::vector<double> peaks(static_cast<size_t>(group.channels), 0.0);
  std::vector<float> rows(static_cast<size_t>(kRowsAtOnce) * columns);
  std::vector<float> largest(columns, 0.0f);
  for (const std::string& name : group.readers) {
    CARAT_TRY(const Tensor* t, checkpoint.at(name));
    for (int64_t first = 0; first < t->rows(); first += kRowsAtOnce) {
      CARAT_DO(context.check());
      const int64_t n = std::min(kRowsAtOnce, t->rows() - first);
      CARAT_DO(t->read_rows(first, n, rows.data()));
      for (int64_t r = 0; r < n; ++r)
        for (size_t k = 0; k < columns; ++k)
          largest[k] = std::max(largest[k], std::abs(rows[static_cast<size_t>(r) * columns + k]));
      t->data->release(first, n);
    }
  }
  for (size_t k = 0; k < columns; ++k) {
    double& peak = peaks[static_cast<size_t>(group.channel_of_column[k])];
    peak = std::max(peak, double{largest[k]});
  }
  return peaks;
}

/// Where next to nothing is read, or reads, neither side's range depends on the factor; it stays within what
/// the others get.
constexpr double kLeast = 1e-4;  ///< of the largest of either

Result<std::vector<double>> factors(const FoldGroup& group, const std::vector<double>& magnitude,
                                    const std::vector<double>& weights, double alpha) {
  const double read = kLeast * std::ranges::max(magnitude), weight = kLeast * std::ranges::max(weights);
  std::vector<double> s(weights.size(), 1.0);
  if (read == 0 || weight == 0) return s;
  for (size_t c = 0; c < s.size(); ++c) {
    s[c] =
        std::pow(std::max(magnitude[c], read), alpha) / std::pow(std::max(weights[c], weight), 1.0 - alpha);
    if (!std::isfinite(s[c]) || s[c] <= 0)
      return bad_data("{}: what calibration saw of channel {}, or its weights, are not finite",
                      group.readers.front(), c);
  }
  return s;
}

class SmoothQuant final : public Transform {
 public:
  std::string_view name() const override { return "smoothquant"; }
  std::string record(const TransformOptions& o) const override {
    return fmt::format("alpha={} of=rms", o.smooth);
  }

  Status apply(const Context& context, const TransformOptions& options,
               TransformSubject& subject) const override {
    CARAT_TRY(const ModelConfig config, read_model_config(subject.checkpoint));
    Fold fold;
    CARAT_TRY(const std::vector<FoldGroup> groups, need_fold_groups(config, name()));
    for (const FoldGroup& group : groups) {
      CARAT_TRY(const GroupStatistics seen, statistics_of(group, subject.statistics));
      CARAT_TRY(const std::vector<double> weights, weight_peaks(context, group, subject.checkpoint));
      CARAT_TRY(const std::vector<double> s, factors(group, seen.magnitude, weights, options.smooth));
      const auto [least, most] = std::ranges::minmax(s);
      fold.scale(group, s);
      subject.notes.push_back(
          {std::string(name()), group.name, fmt::format("factors {:.3g} to {:.3g}", least, most), 0, 0});
    }
    fold.apply(subject.statistics);
    fold.apply(subject.checkpoint);
    return {};
  }
};

}  // namespace

const Transform* smoothquant_transform() {
  static const SmoothQuant transform;
  return &transform;
}

}  // namespace carat
