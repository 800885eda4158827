// The table every processor can use: the generic algorithms over arrays of sixteen numbers.
#include "kernels/generic/prelude.h"
//
#include "simd/portable.h"
//
#include "kernels/generic/panel.h"
//
namespace carat {
namespace {
void hide(PortableSimd::I& x) { __asm__("" : "+m"(x)); }
}  // namespace
}  // namespace carat
//
#include "kernels/generic/elementwise.h"
#include "kernels/generic/float_product.h"
//
#include "kernels/generic/bf16_product.h"
//
#include "kernels/portable/bf16_pairs.h"
//
#include "kernels/generic/quantized_panel.h"
//
#include "kernels/generic/quantized_product.h"
//
#include "kernels/generic/kv_f16.h"
//
#include "kernels/generic/kv_q8_0.h"
//
#include "kernels/generic/attention.h"
#include "kernels/generic/peaks.h"
//
#include "kernels/generic/group_parameters.h"
//
#include "kernels/generic/unpack_codebook.h"
//
#include "kernels/generic/unpack_planes.h"

namespace carat {
namespace {

constexpr KernelTable make_table() {
  KernelTable table;
  table.isa = Isa::portable;
  Elementwise<PortableSimd>::add_to(table);
  Peaks<PortableSimd, 4, 4>::add_to(table);
  FloatProducts<PortableSimd>::add_to(table);
  Bf16Products<PortableSimd, PortablePairs, Plainly>::add_to(table);
  Attention<PortableSimd, KvF16<PortableSimd>>::add_to(table);
  Attention<PortableSimd, KvQ8_0<PortableSimd>>::add_to(table);
  set_products<PortableSimd, 32>(table, AllEncodings{});
  set_products<PortableSimd, 256>(table, AllEncodings{});
  set_grouped_products<PortableSimd>(table, GroupedKinds{});
  return table;
}

constexpr KernelTable kTable = make_table();

}  // namespace

const KernelTable& portable_table() { return kTable; }

}  // namespace carat
