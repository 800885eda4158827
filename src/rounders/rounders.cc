// The data-free rounders. Their inner loops are kernels/generic/search_*.h; here rows are split over threads,
// importance is put on a common scale and what was lost is measured.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

/// Rows that a thread takes at a time: one strip of the widest instruction set.
constexpr int64_t kRowsPerTask = 16;

/// Importance divided by its maximum, so that no product with it overflows. A column without importance keeps
/// a trace of it: its leaf may have nothing else to be fitted to. Empty where nothing has any.
std::vector<float> normalised(std::span<const float> importance) {
  float largest = 0;
  for (float i : importance)
    if (std::isfinite(i)) largest = std::max(largest, i);
  if (largest <= 0) return {};
  std::vector<float> scaled(importance.size());
  for (size_t j = 0; j < scaled.size(); ++j) {
    const float share = importance[j] / largest;
    scaled[j] = share > 1e-9f ? std::min(share, 1.0f) : 1e-9f;
  }
  return scaled;
}

class BlockRounder : public Rounder {
 public:
  bool supports(const Encoding& e) const override { return e.can_decode(); }

  RoundingError round(const Context& context, const KernelTable& kernels, const Encoding& e,
                      const SourceRows& source, std::span<const float> importance,
                      uint8_t* out) const override {
    const SearchTable& table = search_table(kernels.isa);
    const SearchRows round_rows = choose(table, search_position(e));
    const DecodeValues decode_source = table.decode[search_position(*source.encoding)];
    const DecodeValues decode = table.decode[search_position(e)];
    const MeasureRow measure = e.is_float ? table.measure_floats : table.measure;
    const std::vector<float> scaled = normalised(importance);
    const int64_t rows = source.rows, columns = source.columns;
    const auto source_row_bytes = static_cast<int64_t>(source.encoding->row_bytes(columns));
    const auto row_bytes = static_cast<int64_t>(e.row_bytes(columns));
    std::vector<RoundingError> errors(static_cast<size_t>(rows));
    // Per thread: the weights of a task's rows, and what one of them became.
    std::vector<std::unique_ptr<float[]>> scratch(static_cast<size_t>(context.pool.threads()));
    context.pool.parallel_for(ceil_div(rows, kRowsPerTask), 1, [&](int64_t begin, int64_t end, int thread) {
      if (context.cancellation.requested()) return;
      auto& floats = scratch[static_cast<size_t>(thread)];
      if (!floats)
        floats = std::make_unique_for_overwrite<float[]>(static_cast<size_t>((kRowsPerTask + 1) * columns));
      float *const weights = floats.get(), *const rounded = weights + kRowsPerTask * columns;
      for (int64_t first = begin * kRowsPerTask; first < std::min(rows, end * kRowsPerTask);
           first += kRowsPerTask) {
        const int64_t count = std::min(rows - first, kRowsPerTask);
        decode_source(source.bytes + first * source_row_bytes, weights, count * columns);
        round_rows({.weights = weights,
                    .rows = count,
                    .columns = columns,
                    .importance = scaled.empty() ? nullptr : scaled.data(),
                    .weight = ErrorWeight::uniform,
                    .out = out + first * row_bytes});
        for (int64_t r = 0; r < count; ++r) {
          decode(out + (first + r) * row_bytes, rounded, columns);
          measure(weights + r * columns, rounded, columns, importance.empty() ? nullptr : importance.data(),
                  errors[static_cast<size_t>(first + r)]);
        }
      }
    });
    RoundingError sum;
    for (const RoundingError& row : errors) sum.add(row);
    return sum;
  }

 private:
  virtual SearchRows choose(const SearchTable& table, size_t encoding) const = 0;
};

/// Finds the parameters and codes of least error, weighted by importance where there is any.
class Search final : public BlockRounder {
 public:
  std::string_view name() const override { return "search"; }

 private:
  SearchRows choose(const SearchTable& table, size_t encoding) const override {
    return table.search[encoding];
  }
};

/// Scales from each leaf's extremes, codes by rounding; importance is not looked at.
class Nearest final : public BlockRounder {
 public:
  std::string_view name() const override { return "nearest"; }

 private:
  SearchRows choose(const SearchTable& table, size_t encoding) const override {
    return table.nearest[encoding];
  }
};

const Search kSearch;
const Nearest kNearest;
constexpr const Rounder* kRounders[] = {&kSearch, &kNearest};

}  // namespace

std::span<const Rounder* const> all_rounders() { return kRounders; }

const Rounder* find_rounder(std::string_view name) {
  for (const Rounder* r : kRounders)
    if (r->name() == name) return r;
  return nullptr;
}

}  // namespace carat
