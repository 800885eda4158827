#include "rounders/shared_scales.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "rounders/block_rows.h"

namespace carat {
namespace {

constexpr int64_t kSampleRows = 1024;
constexpr int64_t kReadWeights = 1 << 20;

struct Extremes {
  float low = 0, high = 0;
  void add(float x) {
    if (!std::isfinite(x)) return;  // counted and refused where it is rounded
    low = std::min(low, x);
    high = std::max(high, x);
  }
};

class Sharing {
 public:
  Sharing(const Context& context, const KernelTable& kernels, const Encoding& e, int64_t rows,
          int64_t columns, const ReadRows& read)
      : context_(context),
        table_(search_table(kernels.isa)),
        e_(e),
        rows_(rows),
        columns_(columns),
        shape_(group_shape(e, columns)),
        band_(e.shared_rows == kWhole ? rows : e.shared_rows),
        read_(read) {}

  Result<SharedScales> run(bool extremes, std::span<const float> importance) {
    SharedScales shared{.band = band_, .groups = shape_.groups, .scale = {}, .zero = {}};
    for (int64_t first = 0; first < rows_; first += band_) {
      const int64_t count = std::min(band_, rows_ - first);
      CARAT_TRY(const std::vector<Extremes> ends, extremes_of(first, count));
      std::vector<float> scale(ends.size()), zero(ends.size());
      for (size_t g = 0; g < ends.size(); ++g) parameters(ends[g], 1.0f, scale[g], zero[g]);
      if (!extremes) CARAT_DO(improve(first, count, importance, ends, scale, zero));
      shared.scale.insert(shared.scale.end(), scale.begin(), scale.end());
      shared.zero.insert(shared.zero.end(), zero.begin(), zero.end());
    }
    return shared;
  }

 private:
  Result<std::vector<Extremes>> extremes_of(int64_t first, int64_t count) {
    std::vector<Extremes> ends(static_cast<size_t>(shape_.groups));
    const int64_t step = std::max<int64_t>(1, kReadWeights / columns_);
    std::vector<float> weights(static_cast<size_t>(std::min(step, count) * columns_));
    for (int64_t at = 0; at < count; at += step) {
      CARAT_DO(context_.check());
      const int64_t n = std::min(step, count - at);
      CARAT_DO(read_(first + at, n, weights.data()));
      for (int64_t r = 0; r < n; ++r)
        for (int64_t c = 0; c < columns_; ++c)
          ends[static_cast<size_t>(c / shape_.width)].add(weights[static_cast<size_t>(r * columns_ + c)]);
    }
    return ends;
  }

  /// What plain rounding takes from extremes that are drawn in by a factor, as stored.
  void parameters(const Extremes& ends, float factor, float& scale, float& zero) const {
    const float row[32] = {ends.low * factor, ends.high * factor};
    // One group of two weights that matter: the table's own nearest says what they become.
    const Encoding& one = *find_encoding(std::string(e_.name.substr(0, e_.name.rfind('_'))) + "_CHANNEL");
    TaskScratch scratch(1);
    std::vector<uint8_t> out(one.row_bytes(32));
    const GroupShape shape = group_shape(one, 32);
    table_.nearest[e_.kind]({.weights = row,
                             .rows = 1,
                             .columns = 32,
                             .out = out.data(),
                             .groups = shape,
                             .row_bytes = static_cast<int64_t>(out.size()),
                             .scratch = scratch.of(0, table_.search_scratch[e_.kind](32))});
    read_group_parameters(one, out.data(), 32, &scale, &zero);
  }

  /// Tries ranges that are drawn in, for each group apart: what one group loses is no other's affair.
  Status improve(int64_t first, int64_t count, std::span<const float> importance,
                 const std::vector<Extremes>& ends, std::vector<float>& scale, std::vector<float>& zero) {
    const int64_t step = std::max<int64_t>(1, count / kSampleRows), rows = std::min(count, kSampleRows);
    std::vector<float> weights(static_cast<size_t>(rows * columns_));
    for (int64_t r = 0; r < rows; ++r) CARAT_DO(read_(first + r * step, 1, weights.data() + r * columns_));
    for (float& w : weights)
      if (!std::isfinite(w)) w = 0;
    std::vector<double> least(scale.size(), INFINITY);
    std::vector<float> best_scale = scale, best_zero = zero;
    for (const float factor : {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.74f, 0.68f, 0.62f, 0.56f, 0.5f, 0.44f, 0.38f,
                               0.32f, 0.26f, 0.2f, 0.15f, 0.1f}) {
      for (size_t g = 0; g < scale.size(); ++g) parameters(ends[g], factor, scale[g], zero[g]);
      const std::vector<double> errors = errors_under(weights, rows, scale, zero, importance);
      for (size_t g = 0; g < scale.size(); ++g)
        if (errors[g] < least[g]) least[g] = errors[g], best_scale[g] = scale[g], best_zero[g] = zero[g];
      CARAT_DO(context_.check());
    }
    scale = best_scale;
    zero = best_zero;
    return {};
  }

  /// Weighed squared error of each group, summed in the order of rows.
  std::vector<double> errors_under(const std::vector<float>& weights, int64_t rows,
                                   const std::vector<float>& scale, const std::vector<float>& zero,
                                   std::span<const float> importance) const {
    constexpr int64_t kRows = 16;
    const auto row_bytes = static_cast<int64_t>(e_.row_bytes(columns_));
    const size_t groups = scale.size();
    std::vector<double> of_rows(static_cast<size_t>(rows) * groups);
    TaskScratch scratch(context_.pool.threads());
    context_.pool.parallel_for(ceil_div(rows, kRows), 1, [&](int64_t begin, int64_t end, int thread) {
      std::vector<uint8_t> out(static_cast<size_t>(kRows * row_bytes));
      std::vector<float> rounded(static_cast<size_t>(columns_));
      for (int64_t at = begin * kRows; at < std::min(rows, end * kRows); at += kRows) {
        const int64_t n = std::min(kRows, rows - at);
        table_.nearest[e_.kind]({.weights = weights.data() + at * columns_,
                                 .rows = n,
                                 .columns = columns_,
                                 .out = out.data(),
                                 .groups = shape_,
                                 .row_bytes = row_bytes,
                                 .scale = scale.data(),
                                 .zero = zero.data(),
                                 .scratch = scratch.of(thread, table_.search_scratch[e_.kind](columns_))});
        for (int64_t r = 0; r < n; ++r) {
          decode_rows(table_, e_, out.data() + r * row_bytes, 1, columns_, rounded.data());
          for (int64_t c = 0; c < columns_; ++c) {
            const double d = static_cast<double>(weights[static_cast<size_t>((at + r) * columns_ + c)]) -
                             static_cast<double>(rounded[static_cast<size_t>(c)]);
            const double counts = importance.empty() ? 1.0 : importance[static_cast<size_t>(c)];
            of_rows[static_cast<size_t>(at + r) * groups + static_cast<size_t>(c / shape_.width)] +=
                counts * d * d;
          }
        }
      }
    });
    std::vector<double> sums(groups);
    for (size_t i = 0; i < of_rows.size(); ++i) sums[i % groups] += of_rows[i];
    return sums;
  }

  const Context& context_;
  const SearchTable& table_;
  const Encoding& e_;
  const int64_t rows_, columns_;
  const GroupShape shape_;
  const int64_t band_;
  const ReadRows& read_;
};

}  // namespace

Result<SharedScales> share_scales(const Context& context, const KernelTable& kernels, const Encoding& e,
                                  int64_t rows, int64_t columns, const ReadRows& read, bool extremes,
                                  std::span<const float> importance) {
  return Sharing(context, kernels, e, rows, columns, read).run(extremes, importance);
}

Result<RoundingError> round_matrix(const Context& context, const KernelTable& kernels, const Rounder& rounder,
                                   const Encoding& e, const SourceRows& source, ColumnGuide guide,
                                   uint8_t* out) {
  if (e.shared_rows == 1) return rounder.round(context, kernels, e, source, guide, out);
  const uint64_t source_bytes = source.encoding->row_bytes(source.columns),
                 row_bytes = e.row_bytes(source.columns);
  const SearchTable& table = search_table(kernels.isa);
  const ReadRows read = [&](int64_t first, int64_t rows, float* to) -> Status {
    decode_rows(table, *source.encoding, source.bytes + static_cast<uint64_t>(first) * source_bytes, rows,
                source.columns, to);
    return {};
  };
  CARAT_TRY(const SharedScales shared, share_scales(context, kernels, e, source.rows, source.columns, read,
                                                    rounder.takes_extremes(), guide.importance));
  RoundingError sum;
  for (int64_t first = 0; first < source.rows; first += shared.band) {
    SourceRows band = source;
    band.bytes += static_cast<uint64_t>(first) * source_bytes;
    band.rows = std::min(shared.band, source.rows - first);
    shared.guide(first, guide);
    CARAT_TRY(const RoundingError error, rounder.round(context, kernels, e, band, guide,
                                                       out + static_cast<uint64_t>(first) * row_bytes));
    sum.add(error);
  }
  return sum;
}

}  // namespace carat
