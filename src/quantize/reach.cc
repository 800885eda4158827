#include "quantize/reach.h"

#include <algorithm>
#include <vector>

#include "rounders/rounder.h"
#include "rounders/shared_scales.h"

namespace carat {

Result<double> reach_of(const Context& context, const KernelTable& kernels, const Encoding& e,
                        int64_t columns) {
  // Rounding what no encoding has room for shows where each ends. Offsets end elsewhere than scales, and zero
  // points share one range among the signs: so either sign alone, and both.
  constexpr float kBeyond = 0x1p36f;
  std::vector<float> row(static_cast<size_t>(columns));
  std::vector<uint8_t> stored(e.row_bytes(columns));
  const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(row.data()), 1, columns};
  double reach = kBeyond;
  for (const auto& [even, odd] : {std::pair(kBeyond, kBeyond), {-kBeyond, -kBeyond}, {kBeyond, -kBeyond}}) {
    for (size_t j = 0; j < row.size(); ++j) row[j] = j % 2 == 0 ? even : odd;
    CARAT_TRY(
        [[maybe_unused]] const RoundingError error,
        round_matrix(context, kernels, *find_rounder("nearest"), e, source, ColumnGuide(), stored.data()));
    e.decode(stored.data(), row.data(), columns);
    const auto [low, high] = std::ranges::minmax(row);
    const double span = static_cast<double>(std::max(high, 0.0f)) - static_cast<double>(std::min(low, 0.0f));
    reach = std::min(reach, even == odd ? span : span / 2);
  }
  return reach;
}

}  // namespace carat
