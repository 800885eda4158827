#include "kernels/search_table.h"

#include "kernels/generic/prelude.h"

#if defined(__x86_64__)
CARAT_BEGIN_AVX2

#include "kernels/avx2/lanes.h"

// Each builds on those before it.
// clang-format off
#include "kernels/generic/search_lanes.h"
#include "kernels/generic/search_leaf.h"
#include "kernels/generic/search_sums.h"
#include "kernels/generic/search_grids.h"
#include "kernels/generic/search_fit.h"
#include "kernels/generic/own_scales.h"
#include "kernels/generic/search_block.h"
#include "kernels/generic/search_floats.h"
#include "kernels/generic/search_measure.h"
#include "kernels/generic/half_quadratic.h"
#include "kernels/generic/search_rows.h"
#include "kernels/generic/feedback_products.h"
#include "kernels/generic/feedback_rows.h"
#include "kernels/generic/grouped_levels.h"
#include "kernels/generic/grouped_fit.h"
#include "kernels/generic/grouped_rows.h"
#include "kernels/generic/grouped_feedback.h"
// clang-format on

namespace carat::avx2 {

void add_grouped_functions(SearchTable& table) { add_grouped(table, GroupedKinds{}); }

}  // namespace carat::avx2

CARAT_END_TARGET
#endif
