// The data-free rounders. Their inner loops are kernels/generic/search_*.h; here rows are split over threads,
// importance is put on a common scale and what was lost is measured.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "rounders/rounder.h"
#include "rounders/rounding_error.h"

namespace carat {
namespace {

/// Rows that a thread takes at a time: one strip of the widest instruction set.
constexpr int64_t kRowsPerTask = 16;

size_t position(const Encoding& e) {
  const auto all = all_encodings();
  return static_cast<size_t>(std::ranges::find(all, &e) - all.begin());
}

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

template <class Convert>
void convert_to_16_bits(const float* x, int64_t n, uint8_t* out, Convert convert) {
  for (int64_t j = 0; j < n; ++j) {
    const uint16_t bits = convert(x[j]);
    std::memcpy(out + 2 * j, &bits, sizeof bits);
  }
}

void convert_row(const Encoding& e, const float* x, int64_t n, uint8_t* out) {
  if (&e == &encoding_f32())
    std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
  else if (&e == &encoding_f16())
    convert_to_16_bits(x, n, out, [](float f) { return float_to_f16(f); });
  else
    convert_to_16_bits(x, n, out, [](float f) { return float_to_bf16(f); });
}

class BlockRounder : public Rounder {
 public:
  bool supports(const Encoding& e) const override { return e.can_decode(); }

  RoundingError round(const Context& context, const KernelTable& kernels, const Encoding& e,
                      const float* weights, int64_t rows, int64_t columns, std::span<const float> importance,
                      uint8_t* out) const override {
    const SearchRows round_rows = e.is_float ? nullptr : choose(search_table(kernels.isa), position(e));
    const std::vector<float> scaled = normalised(importance);
    const auto row_bytes = static_cast<int64_t>(e.row_bytes(columns));
    std::vector<RoundingError> errors(static_cast<size_t>(rows));
    context.pool.parallel_for(ceil_div(rows, kRowsPerTask), 1, [&](int64_t begin, int64_t end, int) {
      std::vector<float> decoded(static_cast<size_t>(columns));
      const int64_t last = std::min(rows, end * kRowsPerTask);
      const int64_t first = begin * kRowsPerTask;
      if (context.cancellation.requested()) return;
      if (round_rows) {
        round_rows({.weights = weights + first * columns,
                    .rows = last - first,
                    .columns = columns,
                    .importance = scaled.empty() ? nullptr : scaled.data(),
                    .weight = ErrorWeight::uniform,
                    .out = out + first * row_bytes});
      }
      for (int64_t r = first; r < last; ++r) {
        const float* row = weights + r * columns;
        uint8_t* bytes = out + r * row_bytes;
        if (!round_rows) convert_row(e, row, columns, bytes);
        e.decode(bytes, decoded.data(), columns);
        measure(row, decoded.data(), columns, importance, e.is_float, errors[static_cast<size_t>(r)]);
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
