// The data-free rounders, whose inner loops are kernels/generic/search_*.h, and the list of all.
#include <cmath>

#include "rounders/block_rows.h"
#include "rounders/gptq.h"

namespace carat {

std::vector<float> normalised_importance(std::span<const float> importance) {
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

namespace {

class BlockRounder : public Rounder {
 public:
  bool supports(const Encoding& e) const override { return e.can_decode(); }

  Result<RoundingError> round(const Context& context, const KernelTable& kernels, const Encoding& e,
                              const SourceRows& source, const ColumnGuide& guide,
                              uint8_t* out) const override {
    CARAT_DO(check_shared(e, guide));
    /// One strip of the widest instruction set.
    constexpr int64_t kRowsPerTask = 16;
    const SearchTable& table = search_table(kernels.isa);
    const SearchRows round_rows = choose(table, search_position(e));
    const auto scratch_bytes = table.search_scratch[search_position(e)];
    TaskScratch scratch(context.pool.threads());
    const std::vector<float> importance = normalised_importance(guide.importance);
    return round_in_tasks(
        context, kernels, e, source, guide.importance, kRowsPerTask, out, [&](const RowsTask& task) {
          void* const memory =
              scratch_bytes ? scratch.of(task.thread, scratch_bytes(source.columns)) : nullptr;
          round_rows({.weights = task.weights,
                      .rows = task.rows,
                      .columns = source.columns,
                      .importance = importance.empty() ? nullptr : importance.data(),
                      .out = task.out,
                      .groups = shape_of(e, source.columns),
                      .row_bytes = static_cast<int64_t>(e.row_bytes(source.columns)),
                      .scale = e.shared_rows == 1 ? nullptr : guide.scale.data(),
                      .zero = e.shared_rows == 1 ? nullptr : guide.zero.data(),
                      .scratch = memory});
        });
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
  bool takes_extremes() const override { return true; }
  bool uses_importance() const override { return false; }

 private:
  SearchRows choose(const SearchTable& table, size_t encoding) const override {
    return table.nearest[encoding];
  }
};

/// Scales from each leaf's extremes, offsets (or, without one, scales) refined by half-quadratic splitting,
/// which lets outliers go; importance is not looked at.
class HalfQuadratic final : public BlockRounder {
 public:
  std::string_view name() const override { return "hqq"; }
  bool supports(const Encoding& e) const override { return BlockRounder::supports(e) && e.atom == 1; }
  bool uses_importance() const override { return false; }

 private:
  SearchRows choose(const SearchTable& table, size_t encoding) const override {
    return table.half_quadratic[encoding];
  }
};

const Search kSearch;
const Nearest kNearest;
const HalfQuadratic kHalfQuadratic;

}  // namespace

std::span<const Rounder* const> all_rounders() {
  static const Rounder* const rounders[] = {&kSearch, &kNearest, &gptq_rounder(), &kHalfQuadratic};
  return rounders;
}

const Rounder& default_rounder() { return kSearch; }

const Rounder* find_rounder(std::string_view name) {
  for (const Rounder* r : all_rounders())
    if (r->name() == name) return r;
  return nullptr;
}

}  // namespace carat
