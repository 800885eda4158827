#include "kernels/search_table.h"

#include "kernels/generic/prelude.h"

#if defined(__x86_64__)
CARAT_BEGIN_AVX512

namespace carat {
namespace {
constexpr int kSearchLanes = 16;
}
}  // namespace carat

// Each builds on those before it.
// clang-format off
#include "kernels/generic/search_lanes.h"
#include "kernels/generic/search_grids.h"
#include "kernels/generic/search_leaf.h"
#include "kernels/generic/search_block.h"
#include "kernels/generic/search_floats.h"
#include "kernels/generic/search_measure.h"
#include "kernels/generic/search_rows.h"
// clang-format on

namespace carat::avx512 {

const SearchTable& search_functions() {
  static const SearchTable table = make_search_table(AllEncodings{});
  return table;
}

}  // namespace carat::avx512

CARAT_END_TARGET
#endif
