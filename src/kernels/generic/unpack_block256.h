// Fast unpacking of the encodings with blocks of 256 columns: Q2_K to Q6_K and IQ4_XS. Layouts are in their
// headers. Each group of 4 columns is one 32-bit lane per row, and so are four neighbouring 8-bit parameters.
//
// Included inside a target region, after generic/quantized_product.h.

namespace carat {
namespace {

/// The 6-bit integer in the lower bits of byte j of each lane, sign-extended.
template <class S, int j>
CARAT_ALWAYS_INLINE typename S::I signed_6_bits(typename S::I x) {
  return S::template shift_right_signed<26>(S::template shift_left<26 - 8 * j>(x));
}

template <class S>
struct Fields {
  using I = typename S::I;
  using F = typename S::F;

  static CARAT_ALWAYS_INLINE I nibbles(I x) { return S::and_i(x, S::set_i(0x0f0f0f0f)); }
  template <int shift>
  static CARAT_ALWAYS_INLINE I nibbles(I x) {
    return nibbles(S::template shift_right<shift>(x));
  }
  /// x with its bits moved up (or down, where `by` is negative).
  template <int by>
  static CARAT_ALWAYS_INLINE I moved(I x) {
    if constexpr (by > 0) return S::template shift_left<by>(x);
    if constexpr (by < 0) return S::template shift_right<-by>(x);
    return x;
  }
  /// Bits `from`, `from` + 1 of every byte of x, moved to bits 4 and 5, and `rest` below them.
  template <int from>
  static CARAT_ALWAYS_INLINE I with_pairs(I rest, I x) {
    return S::or_masked(rest, moved<4 - from>(x), S::set_i(0x30303030));
  }
  /// Of 6-bit integers stored with 32 added: the same as signed numbers of 6 bits.
  static CARAT_ALWAYS_INLINE I minus_32(I x) { return S::xor_i(x, S::set_i(0x20202020)); }
  static CARAT_ALWAYS_INLINE F negative(F x) { return S::sub(S::zero(), x); }

  /// Two bits of every byte at 2 k.
  template <int k>
  static CARAT_ALWAYS_INLINE I crumbs(I x) {
    return S::and_i(S::template shift_right<2 * k>(x), S::set_i(0x03030303));
  }
};

/// d and dmin of Q4_K and Q5_K and the 12 bytes of six_bit_pairs.h, in the block's first 16, and what
/// follows from them: four 6-bit integers per lane.
template <class S>
struct SixBitPairs {
  using I = typename S::I;
  using F = typename S::F;
  F d, negative_m;
  I scales[2], four_offsets[2];

  CARAT_ALWAYS_INLINE explicit SixBitPairs(const SixteenRows& rows) {
    using Fs = Fields<S>;
    I x[4];
    S::load_rows(rows, x);
    d = S::convert_low_f16(x[0]);
    negative_m = Fs::negative(S::convert_low_f16(S::template shift_right<16>(x[0])));
    const I six = S::set_i(0x3f3f3f3f);
    scales[0] = S::and_i(x[1], six);
    scales[1] = Fs::template with_pairs<6>(Fs::nibbles(x[3]), x[1]);
    four_offsets[0] = S::and_i(x[2], six);
    four_offsets[1] = Fs::template with_pairs<6>(Fs::template nibbles<4>(x[3]), x[2]);
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return S::template byte<leaf % 4>(scales[leaf / 4]);
  }
  template <int q>
  CARAT_ALWAYS_INLINE I offsets() const {
    return four_offsets[q];
  }
};

template <class S, class E>
struct Unpack;

template <class S>
struct Unpack<S, Q4_K> : SixBitPairs<S> {
  using I = typename S::I;
  static constexpr int kGroup = 64;
  static constexpr int raise(int k) { return k < 8 ? 0 : 4; }
  SixteenRows rows;

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : SixBitPairs<S>(tile), rows(tile) {}

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    unrolled<2>([&](auto half) CARAT_INLINE_LAMBDA {
      I q[4];
      S::load_rows(rows + offsetof(Q4_K::Block, qs) + 32 * g + 16 * half, q);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        sink.template take<4 * half + j>(Fields<S>::nibbles(q[j]));
        sink.template take<8 + 4 * half + j>(S::and_i(q[j], S::set_i(static_cast<int32_t>(0xf0f0f0f0u))));
      });
    });
  }
};

template <class S>
struct Unpack<S, Q5_K> : SixBitPairs<S> {
  using I = typename S::I;
  static constexpr int kGroup = 64;
  static constexpr int raise(int) { return 0; }
  SixteenRows rows;
  I fifth[8];

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : SixBitPairs<S>(tile), rows(tile) {
    S::load_rows(rows + offsetof(Q5_K::Block, qh), fifth);
    S::load_rows(rows + offsetof(Q5_K::Block, qh) + 16, fifth + 4);
  }

  /// Bit `from` of every byte of x, moved to bit 4, and the nibble below it.
  template <int from>
  static CARAT_ALWAYS_INLINE I with_bit(I nibble, I x) {
    return S::or_masked(nibble, Fields<S>::template moved<4 - from>(x), S::set_i(0x10101010));
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    unrolled<2>([&](auto half) CARAT_INLINE_LAMBDA {
      I q[4];
      S::load_rows(rows + offsetof(Q5_K::Block, qs) + 32 * g + 16 * half, q);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        const I bits = fifth[4 * half + j];
        sink.template take<4 * half + j>(with_bit<2 * g>(Fields<S>::nibbles(q[j]), bits));
        sink.template take<8 + 4 * half + j>(with_bit<2 * g + 1>(Fields<S>::template nibbles<4>(q[j]), bits));
      });
    });
  }
};

template <class S>
struct Unpack<S, Q6_K> {
  using I = typename S::I;
  using F = typename S::F;
  using Fs = Fields<S>;
  using Block = Q6_K::Block;
  static constexpr int kGroup = 128;
  static constexpr int raise(int) { return 0; }
  SixteenRows rows;
  F d;
  I scales[4];

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {
    // d is the last field: its dword begins two bytes earlier.
    d = S::convert_low_f16(S::template shift_right<16>(S::load_rows_32(rows + (offsetof(Block, d) - 2))));
    S::load_rows(rows + offsetof(Block, scales), scales);
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return S::template shift_right_signed<24>(S::template shift_left<24 - 8 * (leaf % 4)>(scales[leaf / 4]));
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    unrolled<2>([&](auto half) CARAT_INLINE_LAMBDA {  // 16 bytes of each run of 32
      I low[4], next[4], high[4];
      S::load_rows(rows + offsetof(Block, ql) + 64 * g + 16 * half, low);
      S::load_rows(rows + offsetof(Block, ql) + 64 * g + 32 + 16 * half, next);
      S::load_rows(rows + offsetof(Block, qh) + 32 * g + 16 * half, high);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        constexpr int k = 4 * half + j;
        sink.template take<k>(Fs::template with_pairs<0>(Fs::nibbles(low[j]), high[j]));
        sink.template take<k + 8>(Fs::template with_pairs<2>(Fs::nibbles(next[j]), high[j]));
        sink.template take<k + 16>(Fs::template with_pairs<4>(Fs::template nibbles<4>(low[j]), high[j]));
        sink.template take<k + 24>(Fs::template with_pairs<6>(Fs::template nibbles<4>(next[j]), high[j]));
      });
    });
  }
};

template <class S>
struct Unpack<S, Q2_K> {
  using I = typename S::I;
  using F = typename S::F;
  using Fs = Fields<S>;
  using Block = Q2_K::Block;
  static constexpr int kGroup = 128;
  static constexpr int raise(int k) { return k / 8 * 2; }
  SixteenRows rows;
  F d, negative_m;
  I pairs[4];  ///< per leaf one byte: scale, offset

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {
    const I parameters = S::load_rows_32(rows + offsetof(Block, d));
    d = S::convert_low_f16(parameters);
    negative_m = Fs::negative(S::convert_low_f16(S::template shift_right<16>(parameters)));
    S::load_rows(rows + offsetof(Block, scales), pairs);
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return S::template byte<leaf % 4>(Fs::nibbles(pairs[leaf / 4]));
  }
  template <int q>
  CARAT_ALWAYS_INLINE I offsets() const {
    return Fs::template nibbles<4>(pairs[q]);
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    unrolled<2>([&](auto half) CARAT_INLINE_LAMBDA {
      I q[4];
      S::load_rows(rows + offsetof(Block, qs) + 32 * g + 16 * half, q);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        constexpr int k = 4 * half + j;
        sink.template take<k>(S::and_i(q[j], S::set_i(0x03030303 << 0)));
        sink.template take<k + 8>(S::and_i(q[j], S::set_i(0x03030303 << 2)));
        sink.template take<k + 16>(S::and_i(q[j], S::set_i(0x03030303 << 4)));
        sink.template take<k + 24>(S::and_i(q[j], S::set_i(static_cast<int32_t>(0xc0c0c0c0u))));
      });
    });
  }
};

template <class S>
struct Unpack<S, Q3_K> {
  using I = typename S::I;
  using F = typename S::F;
  using Fs = Fields<S>;
  using Block = Q3_K::Block;
  static constexpr int kGroup = 128;
  static constexpr int raise(int) { return 0; }
  SixteenRows rows;
  F d;
  I scales[4];
  I mask[8];

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {
    static_assert(offsetof(Block, scales) + 14 == sizeof(Block));
    // The last 16 bytes of the block: two of qs, the 12 scale bytes, d.
    I x[4];
    S::load_rows(rows + (offsetof(Block, scales) - 2), x);
    d = S::convert_low_f16(S::template shift_right<16>(x[3]));
    const I a = S::middle(x[0], x[1]), b = S::middle(x[1], x[2]), c = S::middle(x[2], x[3]);
    scales[0] = Fs::template with_pairs<0>(Fs::nibbles(a), c);
    scales[1] = Fs::template with_pairs<2>(Fs::nibbles(b), c);
    scales[2] = Fs::template with_pairs<4>(Fs::template nibbles<4>(a), c);
    scales[3] = Fs::template with_pairs<6>(Fs::template nibbles<4>(b), c);
    unrolled<4>([&](auto i) CARAT_INLINE_LAMBDA { scales[i] = Fs::minus_32(scales[i]); });
    S::load_rows(rows + offsetof(Block, hmask), mask);
    S::load_rows(rows + offsetof(Block, hmask) + 16, mask + 4);
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return signed_6_bits<S, leaf % 4>(scales[leaf / 4]);
  }

  /// Two low bits at 2 k of q, the third at bit 4 g + k of the mask.
  template <int g, int k>
  static CARAT_ALWAYS_INLINE I code(I q, I third) {
    return S::or_masked(Fs::template crumbs<k>(q), Fs::template moved<2 - (4 * g + k)>(third),
                        S::set_i(0x04040404));
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    unrolled<2>([&](auto half) CARAT_INLINE_LAMBDA {
      I q[4];
      S::load_rows(rows + offsetof(Block, qs) + 32 * g + 16 * half, q);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        constexpr int k = 4 * half + j;
        sink.template take<k>(code<g, 0>(q[j], mask[k]));
        sink.template take<k + 8>(code<g, 1>(q[j], mask[k]));
        sink.template take<k + 16>(code<g, 2>(q[j], mask[k]));
        sink.template take<k + 24>(code<g, 3>(q[j], mask[k]));
      });
    });
  }
};

template <class S>
struct Unpack<S, IQ4_XS> {
  using I = typename S::I;
  using F = typename S::F;
  static constexpr int kGroup = 32;
  static constexpr int raise(int) { return 0; }
  SixteenRows rows;
  F d;
  I scales[2];

  /// Integers of leaves 4 i .. 4 i + 3, one per byte: high bits from d_and_high, low bits from low.
  template <int i>
  static CARAT_ALWAYS_INLINE I four_scales(I d_and_high, I low) {
    const I four = S::template shift_right<16 * i>(low);              // four nibbles in 16 bits
    const I pairs = S::template shift_right<16 + 8 * i>(d_and_high);  // four pairs in 8 bits
    I result = S::and_i(four, S::set_i(0x0f));
    result = S::or_i(result, S::and_i(S::template shift_left<4>(four), S::set_i(0x0f00)));
    result = S::or_i(result, S::and_i(S::template shift_left<8>(four), S::set_i(0x0f0000)));
    result = S::or_i(result, S::and_i(S::template shift_left<12>(four), S::set_i(0x0f000000)));
    result = S::or_i(result, S::and_i(S::template shift_left<4>(pairs), S::set_i(0x30)));
    result = S::or_i(result, S::and_i(S::template shift_left<10>(pairs), S::set_i(0x3000)));
    result = S::or_i(result, S::and_i(S::template shift_left<16>(pairs), S::set_i(0x300000)));
    return S::or_i(result, S::and_i(S::template shift_left<22>(pairs), S::set_i(0x30000000)));
  }

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {
    I x[4];
    S::load_rows(rows, x);
    d = S::convert_low_f16(x[0]);
    scales[0] = Fields<S>::minus_32(four_scales<0>(x[0], x[1]));
    scales[1] = Fields<S>::minus_32(four_scales<1>(x[0], x[1]));
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return signed_6_bits<S, leaf % 4>(scales[leaf / 4]);
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    I q[4];
    S::load_rows(rows + offsetof(IQ4_XS::Block, qs) + 16 * g, q);
    unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
      sink.template take<j>(look_up_levels<S, IQ4_XS>(Fields<S>::nibbles(q[j])));
      sink.template take<j + 4>(look_up_levels<S, IQ4_XS>(Fields<S>::template nibbles<4>(q[j])));
    });
  }
};

}  // namespace
}  // namespace carat
