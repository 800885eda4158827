#include "kernels/generic/prelude.h"

CARAT_BEGIN_TARGET(CARAT_AVX512_FEATURES ",avx512bf16")
#include "simd/avx512.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/bf16_product.h"

namespace carat {
namespace {

struct PairsByInstruction {
  static constexpr int kPanels = 2, kTokens = 8;
  using W = __m512bh;
  static CARAT_ALWAYS_INLINE W weights(__m512i pair) { return reinterpret_cast<__m512bh>(pair); }
  static CARAT_ALWAYS_INLINE __m512 add(__m512 sum, W w, __m512i x) {
    return _mm512_dpbf16_ps(sum, w, reinterpret_cast<__m512bh>(x));
  }
};

template <class Product>
struct Plainly {
  template <class... Arguments>
  static void run(Arguments... arguments) {
    Product::run(arguments...);
  }
};

}  // namespace
}  // namespace carat
CARAT_END_TARGET

namespace carat::avx512 {
void add_bf16_instruction(KernelTable& table);

void add_bf16_instruction(KernelTable& table) {
  Bf16Products<Avx512Simd, PairsByInstruction, Plainly>::add_to(table);
}
}  // namespace carat::avx512
