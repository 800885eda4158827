#include "kernels/search_table.h"

#include <algorithm>

#include "encodings/encoding.h"

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

size_t search_position(const Encoding& encoding) {
  const auto all = all_encodings();
  return static_cast<size_t>(std::ranges::find(all, &encoding) - all.begin());
}

const SearchTable& search_table(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return avx512::search_functions();
    case Isa::avx_vnni:
    case Isa::avx2:
      return avx2::search_functions();
#endif
    default:
      return portable::search_functions();
  }
}

}  // namespace carat
