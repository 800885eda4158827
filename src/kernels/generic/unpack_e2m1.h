// Fast unpacking of the four-bit floats with small scales: MXFP4 and NVFP4. Layouts are in their headers.
// Each group of 4 columns is one 32-bit lane per row.
//
// Included inside a target region, after generic/quantized_product.h.

namespace carat {
namespace {

/// E8M0Half of the integers in x.
template <class S>
CARAT_ALWAYS_INLINE typename S::F e8m0_half(typename S::I x) {
  // 0 is 2^-128, whose double is no power of two of the exponent's bits alone.
  const auto is_zero = S::template shift_right_signed<31>(S::sub_i(x, S::set_i(1)));
  const auto bits = S::or_i(S::template shift_left<23>(x), S::and_i(is_zero, S::set_i(0x00400000)));
  return S::mul(S::from_bits(bits), S::set(0.5f));
}

/// UE4M3Half of the integers in x: shifted to where a float has exponent and mantissa, they are its number
/// times 2^-120, subnormal ones, too.
template <class S>
CARAT_ALWAYS_INLINE typename S::F ue4m3_half(typename S::I x) {
  const auto is_nan = S::template shift_right_signed<31>(S::sub_i(S::xor_i(x, S::set_i(0x7f)), S::set_i(1)));
  const auto keep = S::xor_i(S::or_i(is_nan, S::set_i(static_cast<int32_t>(0xffffff80u))), S::set_i(-1));
  return S::mul(S::from_bits(S::template shift_left<20>(S::and_i(x, keep))), S::set(0x1p119f));
}

template <class S>
struct Unpack<S, MXFP4> {
  using I = typename S::I;
  using F = typename S::F;
  static constexpr int kGroup = 32, kBytes = 17, kTile = 8 * kBytes;
  static constexpr int raise(int) { return 0; }

  SixteenRows rows;
  I run[kTile / 4];  ///< what has been read of the tile, 4 bytes of each row

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {}

  static constexpr int pieces(int groups) { return (groups * kBytes + 15) / 16; }
  /// 16 bytes at a time; the last piece begins early, so that it ends with the tile.
  template <int piece, int end>
  CARAT_ALWAYS_INLINE void read() {
    if constexpr (piece < end) {
      constexpr int at = 16 * piece + 16 <= kTile ? 16 * piece : kTile - 16;
      S::load_rows(rows + at, run + at / 4);
      read<piece + 1, end>();
    }
  }
  template <int at>
  CARAT_ALWAYS_INLINE I bytes() const {
    constexpr int i = at / 4, shift = at % 4 * 8;
    if constexpr (shift == 0)
      return run[i];
    else if constexpr (shift == 16)
      return S::middle(run[i], run[i + 1]);
    else
      return S::or_i(S::template shift_right<shift>(run[i]), S::template shift_left<32 - shift>(run[i + 1]));
  }

  template <int leaf>
  CARAT_ALWAYS_INLINE F scale() const {
    return e8m0_half<S>(S::template byte<leaf * kBytes % 4>(run[leaf * kBytes / 4]));
  }
  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    read<pieces(g), pieces(g + 1)>();
    const I nibble = S::set_i(0x0f0f0f0f);
    I q[4];
    unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
      q[j] = bytes<g * kBytes + 1 + 4 * j>();
      sink.template take<j>(look_up_levels<S, MXFP4>(S::and_i(q[j], nibble)));
    });
    unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
      sink.template take<j + 4>(look_up_levels<S, MXFP4>(S::and_i(S::template shift_right<4>(q[j]), nibble)));
    });
  }
};

template <class S>
struct Unpack<S, NVFP4> {
  using I = typename S::I;
  using F = typename S::F;
  static constexpr int kGroup = 64, kWords = 9;  // of a block
  static constexpr int raise(int) { return 0; }

  SixteenRows rows;
  I run[4 * kWords];

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {}

  static constexpr int pieces(int groups) { return (4 * kWords * groups + 15) / 16; }
  template <int piece, int end>
  CARAT_ALWAYS_INLINE void read() {
    if constexpr (piece < end) {
      S::load_rows(rows + 16 * piece, run + 4 * piece);
      read<piece + 1, end>();
    }
  }

  template <int leaf>
  CARAT_ALWAYS_INLINE F scale() const {
    return ue4m3_half<S>(S::template byte<leaf % 4>(run[kWords * (leaf / 4)]));
  }
  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    read<pieces(g), pieces(g + 1)>();
    const I nibble = S::set_i(0x0f0f0f0f);
    unrolled<4>([&](auto leaf) CARAT_INLINE_LAMBDA {
      unrolled<2>([&](auto j) CARAT_INLINE_LAMBDA {
        const I q = run[kWords * g + 1 + 2 * leaf + j];
        sink.template take<4 * leaf + j>(look_up_levels<S, NVFP4>(S::and_i(q, nibble)));
      });
      unrolled<2>([&](auto j) CARAT_INLINE_LAMBDA {
        const I q = S::template shift_right<4>(run[kWords * g + 1 + 2 * leaf + j]);
        sink.template take<4 * leaf + j + 2>(look_up_levels<S, NVFP4>(S::and_i(q, nibble)));
      });
    });
  }
};

}  // namespace
}  // namespace carat
