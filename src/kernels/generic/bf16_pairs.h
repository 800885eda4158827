// Products of bf16 pairs for processors without vdpbf16ps, to the same bits: two fused multiply-adds per
// pair, the odd column first, with subnormal numbers counting as zeros on both sides, and results that are
// tiny after rounding becoming zeros.
//
// x86 has that as a mode, which is on while a product runs. The instruction does not look at the mode, it is
// always so; and no addition in a product happens outside of pairs.
//
// Included inside a target region of x86, after simd/flush_mode.h and generic/bf16_product.h.

namespace carat {
namespace {

template <class S, int kPanelsAtOnce, int kTokensAtOnce>
struct PairsByFma {
  static constexpr int kPanels = kPanelsAtOnce, kTokens = kTokensAtOnce;
  struct W {
    typename S::F odd, even;
  };
  static CARAT_ALWAYS_INLINE typename S::F odd(typename S::I pair) {
    return S::from_bits(S::and_i(pair, S::set_i(static_cast<int32_t>(0xffff0000u))));
  }
  static CARAT_ALWAYS_INLINE typename S::F even(typename S::I pair) {
    return S::from_bits(S::template shift_left<16>(pair));
  }
  static CARAT_ALWAYS_INLINE W weights(typename S::I pair) { return {odd(pair), even(pair)}; }
  static CARAT_ALWAYS_INLINE typename S::F add(typename S::F sum, const W& w, typename S::I x) {
    return S::mul_add(w.even, even(x), S::mul_add(w.odd, odd(x), sum));
  }
};

/// Calls a product in that mode.
template <class Product>
struct WithoutSubnormals {
  // Not inlined, so that no arithmetic moves past a change of the mode.
  template <class... Arguments>
  static __attribute__((noinline)) void inner(Arguments... arguments) {
    Product::run(arguments...);
  }
  template <class... Arguments>
  static void run(Arguments... arguments) {
    const SubnormalsAreZero mode;
    inner<Arguments...>(arguments...);
  }
};

}  // namespace
}  // namespace carat
