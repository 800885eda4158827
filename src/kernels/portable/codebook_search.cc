#include "kernels/search_table.h"

#include "kernels/generic/prelude.h"

#include "kernels/portable/lanes.h"

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
#include "kernels/generic/search_rows.h"
#include "kernels/generic/feedback_products.h"
#include "kernels/generic/feedback_rows.h"
#include "kernels/generic/codebook_vectors.h"
#include "kernels/generic/codebook_block.h"
#include "kernels/generic/codebook_rows.h"
// clang-format on

namespace carat::portable {

void add_codebook_functions(SearchTable& table) { add_codebooks(table, AllEncodings{}); }

}  // namespace carat::portable
