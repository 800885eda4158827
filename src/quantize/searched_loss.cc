#include "quantize/searched_loss.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "rounders/input_drift.h"

namespace carat {

Status SearchedLoss::sample(const Context& context, const KernelTable& kernels, const Encoding& e,
                            const SourceRows& rows, const ColumnGuide& guide, int64_t count) {
  const Rounder& search = default_rounder();
  if (!search.supports(e)) return {};
  count = std::min(count, rows.rows);
  const int64_t columns = rows.columns;
  const auto row_bytes = static_cast<int64_t>(rows.encoding->row_bytes(columns));
  std::vector<uint8_t> source(static_cast<size_t>(count * row_bytes));
  for (int64_t r = 0; r < count; ++r)
    std::memcpy(source.data() + r * row_bytes, rows.bytes + r * rows.rows / count * row_bytes,
                static_cast<size_t>(row_bytes));
  std::vector<uint8_t> codes(static_cast<size_t>(count) * e.row_bytes(columns));
  SourceRows sampled{rows.encoding, source.data(), count, columns};
  std::vector<float> moved;
  if (guide.drift) {  // both are to come near to those
    CARAT_TRY(moved, weights_for_drift(context, kernels, *guide.feedback, *guide.drift, sampled));
    sampled.encoding = &encoding_f32();
    sampled.bytes = reinterpret_cast<const uint8_t*>(moved.data());
  }
  ColumnGuide alone = guide;
  alone.feedback = nullptr;
  alone.drift = nullptr;
  CARAT_TRY(const RoundingError error, search.round(context, kernels, e, sampled, alone, codes.data()));
  const SearchTable& table = search_table(kernels.isa);
  std::vector<float> difference(static_cast<size_t>(count * columns)), rounded(difference.size());
  decode_rows(table, *sampled.encoding, sampled.bytes, count, columns, difference.data());
  decode_rows(table, e, codes.data(), count, columns, rounded.data());
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= rounded[i];
  loss_ += factored_loss(context, *guide.feedback, difference);
  weight_ += error.weighted_weight;
  return {};
}

}  // namespace carat
