#include "transforms/awq.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "rounders/shared_scales.h"
#include "transforms/group_statistics.h"

namespace carat {
namespace {

constexpr int kSteps = 20;            ///< exponents that can be chosen
constexpr int kStride = 4;            ///< between those that are tried first
constexpr int64_t kSampleRows = 128;  ///< of each matrix
constexpr double kLeast = 1e-4;       ///< of a factor before they are centred

/// A sample of one reader's rows.
struct Sample {
  const Encoding* target;
  int64_t rows = 0, columns = 0;
  std::vector<float> weights;  ///< [rows, columns]
};

Result<std::vector<Sample>> sample_readers(const FoldGroup& group, const TransformSubject& subject) {
  std::vector<Sample> samples;
  for (const std::string& name : group.readers) {
    CARAT_TRY(const Tensor* t, subject.checkpoint.at(name));
    const Encoding* target = subject.target(name);
    if (!target || target->is_float || target == t->encoding) continue;
    Sample s{target, std::min(kSampleRows, t->rows()), t->columns(), {}};
    s.weights.resize(static_cast<size_t>(s.rows * s.columns));
    for (int64_t r = 0; r < s.rows; ++r) {
      const int64_t row = r * t->rows() / s.rows;
      CARAT_DO(t->read_rows(row, 1, s.weights.data() + r * s.columns));
    }
    t->data->release(0, t->rows());
    samples.push_back(std::move(s));
  }
  return samples;
}

/// Per channel the mean of |w| as a share of the largest of its leaf, over rows and readers.
std::vector<double> relative_weights(const FoldGroup& group, const std::vector<Sample>& samples) {
  std::vector<double> sum(static_cast<size_t>(group.channels), 0.0), count(sum.size(), 0.0);
  for (const Sample& s : samples) {
    const int64_t shared = s.target->group == kWhole ? s.columns
                           : s.target->is_grouped()  ? s.target->group
                                                     : s.target->leaf;
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t first = 0; first < s.columns; first += shared) {
        const float* w = s.weights.data() + r * s.columns + first;
        const int64_t n = std::min(shared, s.columns - first);
        float largest = 0;
        for (int64_t k = 0; k < n; ++k) largest = std::max(largest, std::abs(w[k]));
        for (int64_t k = 0; k < n; ++k) {
          const auto channel = static_cast<size_t>(group.channel_of_column[static_cast<size_t>(first + k)]);
          sum[channel] += std::abs(double{w[k]}) / (double{largest} + 1e-6);
          count[channel] += 1;
        }
      }
  }
  for (size_t c = 0; c < sum.size(); ++c) sum[c] /= count[c];
  return sum;
}

/// Factors around 1. Those that are 0, of channels that carry nothing, become 1: they must neither pull the
/// middle away from the others, nor be made large beside them, as whatever writes them may be rounded to
/// something (an embedding's zeros in an encoding with an offset).
void centre(std::vector<double>& s) {
  double least = INFINITY, most = 0;
  for (double& x : s) {
    if (!(x > 0)) continue;
    x = std::max(x, kLeast);
    least = std::min(least, x);
    most = std::max(most, x);
  }
  const double middle = std::sqrt(least * most);
  for (double& x : s) x = x > 0 && std::isfinite(x / middle) ? x / middle : 1.0;
}

class Search {
 public:
  Search(const Context& context, const KernelTable& kernels, const Rounder& rounder, const FoldGroup& group,
         const GroupStatistics& seen, const std::vector<Sample>& samples)
      : context_(context),
        kernels_(kernels),
        rounder_(rounder),
        group_(group),
        seen_(seen),
        samples_(samples) {}

  /// The expected error of the outputs if columns are scaled by s before rounding; empty: as they are.
  Result<double> loss(const std::vector<double>& s) {
    const size_t columns = group_.channel_of_column.size();
    std::vector<float> importance(seen_.mean_square);
    if (!s.empty())
      for (size_t k = 0; k < columns; ++k) {
        const double by = s[static_cast<size_t>(group_.channel_of_column[k])];
        importance[k] = static_cast<float>(importance[k] / (by * by));
      }
    double loss = 0;
    for (const Sample& sample : samples_) {
      scaled_ = sample.weights;
      if (!s.empty())
        for (size_t i = 0; i < scaled_.size(); ++i)
          scaled_[i] *= static_cast<float>(s[static_cast<size_t>(group_.channel_of_column[i % columns])]);
      const SourceRows rows{&encoding_f32(), reinterpret_cast<const uint8_t*>(scaled_.data()), sample.rows,
                            sample.columns};
      codes_.resize(static_cast<size_t>(sample.rows) * sample.target->row_bytes(sample.columns));
      CARAT_TRY(const RoundingError error, round_matrix(context_, kernels_, rounder_, *sample.target, rows,
                                                        {importance, nullptr}, codes_.data()));
      loss += error.weighted_error;
    }
    return loss;
  }

 private:
  const Context& context_;
  const KernelTable& kernels_;
  const Rounder& rounder_;
  const FoldGroup& group_;
  const GroupStatistics& seen_;
  const std::vector<Sample>& samples_;
  std::vector<float> scaled_;
  std::vector<uint8_t> codes_;
};

class Awq final : public Transform {
 public:
  std::string_view name() const override { return "awq"; }
  std::string record(const TransformOptions&) const override {
    return fmt::format("steps={} stride={} rows={}", kSteps, kStride, kSampleRows);
  }

  Status apply(const Context& context, const TransformOptions&, TransformSubject& subject) const override {
    CARAT_TRY(const ModelConfig config, read_model_config(subject.checkpoint));
    CARAT_TRY(const KernelTable* kernels, default_kernel_table());
    CARAT_TRY(const std::vector<FoldGroup> groups, need_fold_groups(config, name()));
    Fold fold;
    context.progress.begin("awq", "groups", groups.size());
    uint64_t done = 0;
    for (const FoldGroup& group : groups) {
      CARAT_DO(context.check());
      CARAT_TRY(const std::vector<Sample> samples, sample_readers(group, subject));
      if (!samples.empty()) {
        CARAT_TRY(const GroupStatistics seen, statistics_of(group, subject.statistics));
        CARAT_DO(choose(context, *kernels, group, seen, samples, subject, fold));
      }
      context.progress.update(++done, group.name);
    }
    context.progress.end();
    fold.apply(subject.statistics);
    fold.apply(subject.checkpoint);
    return {};
  }

 private:
  Status choose(const Context& context, const KernelTable& kernels, const FoldGroup& group,
                const GroupStatistics& seen, const std::vector<Sample>& samples, TransformSubject& subject,
                Fold& fold) const {
    Search search(context, kernels, *subject.rounder, group, seen, samples);
    const std::vector<double> w = relative_weights(group, samples);
    TransformNote note{std::string(name()), group.name, "as it is", 0, 0};
    CARAT_TRY(note.loss_before, search.loss({}));
    note.loss_after = note.loss_before;
    if (!std::isfinite(note.loss_before))
      return bad_data("{}: its weights, or the statistics of what it reads, are not finite",
                      group.readers.front());
    std::vector<double> best;
    int best_step = 0;
    const auto consider = [&](int step, bool duo) -> Status {
      CARAT_DO(context.check());
      const double r = static_cast<double>(step) / kSteps;
      std::vector<double> s(seen.magnitude);
      for (size_t c = 0; c < s.size(); ++c)
        s[c] = seen.magnitude[c] > 0 && w[c] > 0
                   ? std::pow(s[c], r) / (duo ? std::pow(w[c], 1 - r) + 1e-4 : 1.0)
                   : 0.0;
      centre(s);
      CARAT_TRY(const double loss, search.loss(s));
      if (!(loss < note.loss_after)) return {};
      note.loss_after = loss;
      note.choice = fmt::format("r = {:.2f}{}", r, duo ? ", duo" : "");
      best = std::move(s);
      best_step = step;
      return {};
    };
    for (const bool duo : {false, true}) {
      const double others = note.loss_after;
      for (int step = duo ? 0 : kStride; step < kSteps; step += kStride) CARAT_DO(consider(step, duo));
      if (!(note.loss_after < others)) continue;
      for (int stride = kStride / 2, middle = best_step; stride > 0; stride /= 2, middle = best_step)
        for (const int step : {middle - stride, middle + stride})
          if (step > 0 && step < kSteps) CARAT_DO(consider(step, duo));
    }
    if (!best.empty()) fold.scale(group, best);
    subject.notes.push_back(std::move(note));
    return {};
  }
};

}  // namespace

const Transform* awq_transform() {
  static const Awq transform;
  return &transform;
}

}  // namespace carat
