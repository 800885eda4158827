#include "kernels/search_table.h"

#include <algorithm>

namespace carat {

void RoundingError::add(const RoundingError& o) {
  squared_error += o.squared_error;
  squared_weight += o.squared_weight;
  weighted_error += o.weighted_error;
  weighted_weight += o.weighted_weight;
  feedback_error += o.feedback_error;
  max_error = std::max(max_error, o.max_error);
  underflows += o.underflows;
  overflows += o.overflows;
  not_finite += o.not_finite;
}

void decode_rows(const SearchTable& table, const Encoding& e, const uint8_t* in, int64_t rows,
                 int64_t columns, float* out) {
  if (!e.is_grouped()) return table.decode[e.kind](in, out, rows * columns);
  const GroupShape shape = group_shape(e, columns);
  const uint64_t bytes = e.row_bytes(columns);
  for (int64_t r = 0; r < rows; ++r, in += bytes, out += columns)
    table.decode_groups[e.kind](shape, in, columns, out);
}

const SearchTable& search_table(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
#if !defined(CARAT_NARROW)
    case Isa::avx512:
      return avx512::search_functions();
#endif
    case Isa::avx_vnni:
    case Isa::avx2:
      return avx2::search_functions();
#endif
    default:
      return portable::search_functions();
  }
}

}  // namespace carat
