// What vdpbf16ps does to one pair, said in plain C++. Included by portable/table.cc.

namespace carat {
namespace {

struct PortablePairs {
  static constexpr int kPanels = 1, kTokens = 4;
  using W = PortableSimd::I;
  static W weights(W pair) { return pair; }
  static PortableSimd::F add(PortableSimd::F sum, const W& w, const W& x) {
    for (int i = 0; i < PortableSimd::kLanes; ++i) {
      const auto a = static_cast<uint32_t>(w.v[i]), b = static_cast<uint32_t>(x.v[i]);
      sum.v[i] = step(a & 0xffff0000u, b & 0xffff0000u, sum.v[i]);
      sum.v[i] = step(a << 16, b << 16, sum.v[i]);
    }
    return sum;
  }

 private:
  static float without_subnormals(uint32_t bits) {
    return std::bit_cast<float>((bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
  }
  /// a * b + sum, rounded once, with subnormal factors and tiny sums as zeros.
  static float step(uint32_t a_bits, uint32_t b_bits, float sum) {
    const float a = without_subnormals(a_bits), b = without_subnormals(b_bits);
    const float result = std::fma(a, b, sum);
    if (std::fabs(result) > 0x1p-126f || result == 0 || result != result) return result;
    // Tiny is what is below 2^-126 after rounding to as many digits as normal numbers have.
    const float scaled = std::fma(a * 0x1p64f, b, sum * 0x1p64f);
    return std::fabs(scaled) < 0x1p-62f ? std::copysign(0.0f, result) : result;
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
