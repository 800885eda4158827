// Fast unpacking of the encodings with blocks of 256 columns: Q2_K to Q6_K and IQ4_XS. Layouts are in their
// headers. Each group of 4 columns is one 32-bit lane per row, and so are four neighbouring 8-bit parameters.
//
// Included inside a target region, after generic/quantized_product.h.

namespace carat {
namespace {

/// Byte j of each lane as a number.
template <class S, int j>
CARAT_ALWAYS_INLINE typename S::F byte_of(typename S::I x) {
  if constexpr (j == 3)
    return S::convert(S::template shift_right<24>(x));
  else
    return S::convert(S::and_i(S::template shift_right<8 * j>(x), S::set_i(255)));
}
template <class S, int j>
CARAT_ALWAYS_INLINE typename S::F signed_byte_of(typename S::I x) {
  return S::convert(S::template shift_right_signed<24>(S::template shift_left<24 - 8 * j>(x)));
}

/// factor * (byte - zero) of four neighbouring leaves.
template <class S>
CARAT_ALWAYS_INLINE void store_scales(typename S::I bytes, typename S::F factor, float zero, float* out) {
  const auto z = S::set(zero);
  S::store(S::mul(factor, S::sub(byte_of<S, 0>(bytes), z)), out);
  S::store(S::mul(factor, S::sub(byte_of<S, 1>(bytes), z)), out + 16);
  S::store(S::mul(factor, S::sub(byte_of<S, 2>(bytes), z)), out + 32);
  S::store(S::mul(factor, S::sub(byte_of<S, 3>(bytes), z)), out + 48);
}
template <class S>
CARAT_ALWAYS_INLINE void store_signed_scales(typename S::I bytes, typename S::F factor, float* out) {
  S::store(S::mul(factor, signed_byte_of<S, 0>(bytes)), out);
  S::store(S::mul(factor, signed_byte_of<S, 1>(bytes)), out + 16);
  S::store(S::mul(factor, signed_byte_of<S, 2>(bytes)), out + 32);
  S::store(S::mul(factor, signed_byte_of<S, 3>(bytes)), out + 48);
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
  /// Bits `from`, `from` + 1 of every byte, moved to bits 4 and 5.
  template <int from>
  static CARAT_ALWAYS_INLINE I pairs_to_4(I x) {
    if constexpr (from < 4) x = S::template shift_left<4 - from>(x);
    if constexpr (from > 4) x = S::template shift_right<from - 4>(x);
    return S::and_i(x, S::set_i(0x30303030));
  }
  static CARAT_ALWAYS_INLINE F negative(F x) { return S::sub(S::zero(), x); }

  /// The parameters of Q4_K and Q5_K: d, dmin and the 12 bytes of six_bit_pairs.h, in the block's first 16.
  static CARAT_ALWAYS_INLINE void six_bit_pairs(const uint8_t* p, int64_t stride, float* scale,
                                                float* offset) {
    I x[4];
    S::load_rows(p, stride, x);
    const F d = S::convert_low_f16(x[0]);
    const F min = negative(S::convert_low_f16(S::template shift_right<16>(x[0])));
    const I six = S::set_i(0x3f3f3f3f);
    store_scales<S>(S::and_i(x[1], six), d, 0, scale);
    store_scales<S>(S::or_i(nibbles(x[3]), pairs_to_4<6>(x[1])), d, 0, scale + 64);
    store_scales<S>(S::and_i(x[2], six), min, 0, offset);
    store_scales<S>(S::or_i(nibbles<4>(x[3]), pairs_to_4<6>(x[2])), min, 0, offset + 64);
  }

  /// Two bits of every byte at 2 k.
  template <int k>
  static CARAT_ALWAYS_INLINE I crumbs(I x) {
    return S::and_i(S::template shift_right<2 * k>(x), S::set_i(0x03030303));
  }
};

template <class S, class E>
struct Unpack;

template <class S>
struct Unpack<S, Q4_K> {
  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float* offset) {
    Fields<S>::six_bit_pairs(p, stride, scale, offset);
    for (int g = 0; g < 4; ++g) {
      CARAT_UNROLL
      for (int half = 0; half < 2; ++half) {
        typename S::I q[4];
        S::load_rows(p + offsetof(Q4_K::Block, qs) + 32 * g + 16 * half, stride, q);
        CARAT_UNROLL
        for (int j = 0; j < 4; ++j) {
          uint8_t* to = out + 64 * (16 * g + 4 * half + j);
          S::store_i(Fields<S>::nibbles(q[j]), to);
          S::store_i(Fields<S>::template nibbles<4>(q[j]), to + 64 * 8);
        }
      }
    }
  }
};

template <class S>
struct Unpack<S, Q5_K> {
  using I = typename S::I;

  /// 64 columns: nibbles of one run of 32 bytes, fifth bits at 2 g and 2 g + 1.
  template <int g>
  static CARAT_ALWAYS_INLINE void group(const I* fifth, const I* q, uint8_t* out) {
    const I one = S::set_i(0x10101010);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) {
      const I low = g < 2 ? S::template shift_left<(g < 2 ? 4 - 2 * g : 0)>(fifth[j])
                          : S::template shift_right<(g < 2 ? 0 : 2 * g - 4)>(fifth[j]);
      const I high = g < 2 ? S::template shift_left<(g < 2 ? 3 - 2 * g : 0)>(fifth[j])
                           : S::template shift_right<(g < 2 ? 0 : 2 * g - 3)>(fifth[j]);
      S::store_i(S::or_i(Fields<S>::nibbles(q[j]), S::and_i(low, one)), out + 64 * (16 * g + j));
      S::store_i(S::or_i(Fields<S>::template nibbles<4>(q[j]), S::and_i(high, one)),
                 out + 64 * (16 * g + 8 + j));
    }
  }

  template <int g>
  static CARAT_ALWAYS_INLINE void load_group(const uint8_t* p, int64_t stride, const I* fifth, uint8_t* out) {
    I q[4];
    S::load_rows(p + 32 * g, stride, q);
    group<g>(fifth, q, out);
  }

  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float* offset) {
    Fields<S>::six_bit_pairs(p, stride, scale, offset);
    for (int half = 0; half < 2; ++half) {
      I fifth[4];
      S::load_rows(p + offsetof(Q5_K::Block, qh) + 16 * half, stride, fifth);
      const uint8_t* qs = p + offsetof(Q5_K::Block, qs) + 16 * half;
      load_group<0>(qs, stride, fifth, out + 64 * 4 * half);
      load_group<1>(qs, stride, fifth, out + 64 * 4 * half);
      load_group<2>(qs, stride, fifth, out + 64 * 4 * half);
      load_group<3>(qs, stride, fifth, out + 64 * 4 * half);
    }
  }
};

template <class S>
struct Unpack<S, Q6_K> {
  using I = typename S::I;
  using Fs = Fields<S>;

  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float*) {
    using Block = Q6_K::Block;
    // d is the last field: its dword begins two bytes earlier.
    const auto d =
        S::convert_low_f16(S::template shift_right<16>(S::load_rows_32(p + offsetof(Block, d) - 2, stride)));
    I s[4];
    S::load_rows(p + offsetof(Block, scales), stride, s);
    CARAT_UNROLL
    for (int i = 0; i < 4; ++i) store_signed_scales<S>(s[i], d, scale + 64 * i);
    for (int part = 0; part < 4; ++part) {  // 128 columns by g, 16 bytes of each run of 32 by half
      const int g = part / 2, half = part % 2;
      I low[4], next[4], high[4];
      S::load_rows(p + offsetof(Block, ql) + 64 * g + 16 * half, stride, low);
      S::load_rows(p + offsetof(Block, ql) + 64 * g + 32 + 16 * half, stride, next);
      S::load_rows(p + offsetof(Block, qh) + 32 * g + 16 * half, stride, high);
      CARAT_UNROLL
      for (int j = 0; j < 4; ++j) {
        uint8_t* to = out + 64 * (32 * g + 4 * half + j);
        S::store_i(S::or_i(Fs::nibbles(low[j]), Fs::template pairs_to_4<0>(high[j])), to);
        S::store_i(S::or_i(Fs::nibbles(next[j]), Fs::template pairs_to_4<2>(high[j])), to + 64 * 8);
        S::store_i(S::or_i(Fs::template nibbles<4>(low[j]), Fs::template pairs_to_4<4>(high[j])),
                   to + 64 * 16);
        S::store_i(S::or_i(Fs::template nibbles<4>(next[j]), Fs::template pairs_to_4<6>(high[j])),
                   to + 64 * 24);
      }
    }
  }
};

template <class S>
struct Unpack<S, Q2_K> {
  using I = typename S::I;
  using Fs = Fields<S>;

  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float* offset) {
    using Block = Q2_K::Block;
    const I parameters = S::load_rows_32(p + offsetof(Block, d), stride);
    const auto d = S::convert_low_f16(parameters);
    const auto min = Fs::negative(S::convert_low_f16(S::template shift_right<16>(parameters)));
    I s[4];
    S::load_rows(p + offsetof(Block, scales), stride, s);
    CARAT_UNROLL
    for (int i = 0; i < 4; ++i) {
      store_scales<S>(Fs::nibbles(s[i]), d, 0, scale + 64 * i);
      store_scales<S>(Fs::template nibbles<4>(s[i]), min, 0, offset + 64 * i);
    }
    for (int part = 0; part < 4; ++part) {
      const int g = part / 2, half = part % 2;
      I q[4];
      S::load_rows(p + offsetof(Block, qs) + 32 * g + 16 * half, stride, q);
      CARAT_UNROLL
      for (int j = 0; j < 4; ++j) {
        uint8_t* to = out + 64 * (32 * g + 4 * half + j);
        S::store_i(Fs::template crumbs<0>(q[j]), to);
        S::store_i(Fs::template crumbs<1>(q[j]), to + 64 * 8);
        S::store_i(Fs::template crumbs<2>(q[j]), to + 64 * 16);
        S::store_i(Fs::template crumbs<3>(q[j]), to + 64 * 24);
      }
    }
  }
};

template <class S>
struct Unpack<S, Q3_K> {
  using I = typename S::I;
  using Fs = Fields<S>;

  /// 128 columns: two low bits at 2 k of q, the third at bit 4 g + k of mask.
  template <int g, int k>
  static CARAT_ALWAYS_INLINE I code(I q, I mask) {
    constexpr int kBit = 4 * g + k;
    const I third = kBit < 2 ? S::template shift_left<(kBit < 2 ? 2 - kBit : 0)>(mask)
                             : S::template shift_right<(kBit < 2 ? 0 : kBit - 2)>(mask);
    return S::or_i(Fs::template crumbs<k>(q), S::and_i(third, S::set_i(0x04040404)));
  }
  template <int g>
  static CARAT_ALWAYS_INLINE void columns(const uint8_t* p, int64_t stride, const I* mask, uint8_t* out) {
    I q[4];
    S::load_rows(p + 32 * g, stride, q);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) {
      uint8_t* to = out + 64 * (32 * g + j);
      S::store_i(code<g, 0>(q[j], mask[j]), to);
      S::store_i(code<g, 1>(q[j], mask[j]), to + 64 * 8);
      S::store_i(code<g, 2>(q[j], mask[j]), to + 64 * 16);
      S::store_i(code<g, 3>(q[j], mask[j]), to + 64 * 24);
    }
  }

  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float*) {
    using Block = Q3_K::Block;
    static_assert(offsetof(Block, scales) + 14 == sizeof(Block));
    // The last 16 bytes of the block: two of qs, the 12 scale bytes, d.
    I x[4];
    S::load_rows(p + offsetof(Block, scales) - 2, stride, x);
    const auto d = S::convert_low_f16(S::template shift_right<16>(x[3]));
    I bytes[3];  // the 12 scale bytes
    CARAT_UNROLL
    for (int i = 0; i < 3; ++i)
      bytes[i] = S::or_i(S::template shift_right<16>(x[i]), S::template shift_left<16>(x[i + 1]));
    store_scales<S>(S::or_i(Fs::nibbles(bytes[0]), Fs::template pairs_to_4<0>(bytes[2])), d, 32, scale);
    store_scales<S>(S::or_i(Fs::nibbles(bytes[1]), Fs::template pairs_to_4<2>(bytes[2])), d, 32, scale + 64);
    store_scales<S>(S::or_i(Fs::template nibbles<4>(bytes[0]), Fs::template pairs_to_4<4>(bytes[2])), d, 32,
                    scale + 128);
    store_scales<S>(S::or_i(Fs::template nibbles<4>(bytes[1]), Fs::template pairs_to_4<6>(bytes[2])), d, 32,
                    scale + 192);
    for (int half = 0; half < 2; ++half) {
      I mask[4];
      S::load_rows(p + offsetof(Block, hmask) + 16 * half, stride, mask);
      const uint8_t* qs = p + offsetof(Block, qs) + 16 * half;
      columns<0>(qs, stride, mask, out + 64 * 4 * half);
      columns<1>(qs, stride, mask, out + 64 * 4 * half);
    }
  }
};

template <class S>
struct Unpack<S, IQ4_XS> {
  using I = typename S::I;

  /// 6-bit scales of leaves 4 i .. 4 i + 3, one per byte: high bits from x[0], low from x[1].
  template <int i>
  static CARAT_ALWAYS_INLINE I scales(I d_and_high, I low) {
    const I four = S::template shift_right<16 * i>(low);              // four nibbles in 16 bits
    const I pairs = S::template shift_right<16 + 8 * i>(d_and_high);  // four pairs in 8 bits
    I result = S::set_i(0);
    result = S::or_i(result, S::and_i(four, S::set_i(0x0f)));
    result = S::or_i(result, S::and_i(S::template shift_left<4>(four), S::set_i(0x0f00)));
    result = S::or_i(result, S::and_i(S::template shift_left<8>(four), S::set_i(0x0f0000)));
    result = S::or_i(result, S::and_i(S::template shift_left<12>(four), S::set_i(0x0f000000)));
    result = S::or_i(result, S::and_i(S::template shift_left<4>(pairs), S::set_i(0x30)));
    result = S::or_i(result, S::and_i(S::template shift_left<10>(pairs), S::set_i(0x3000)));
    result = S::or_i(result, S::and_i(S::template shift_left<16>(pairs), S::set_i(0x300000)));
    return S::or_i(result, S::and_i(S::template shift_left<22>(pairs), S::set_i(0x30000000)));
  }

  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float*) {
    I x[4];
    S::load_rows(p, stride, x);
    const auto d = S::convert_low_f16(x[0]);
    store_scales<S>(scales<0>(x[0], x[1]), d, 32, scale);
    store_scales<S>(scales<1>(x[0], x[1]), d, 32, scale + 64);
    for (int i = 0; i < 8; ++i) {
      I q[4];
      S::load_rows(p + offsetof(IQ4_XS::Block, qs) + 16 * i, stride, q);
      CARAT_UNROLL
      for (int j = 0; j < 4; ++j) {
        S::store_i(look_up_levels<S, IQ4_XS>(Fields<S>::nibbles(q[j])), out + 64 * (8 * i + j));
        S::store_i(look_up_levels<S, IQ4_XS>(Fields<S>::template nibbles<4>(q[j])),
                   out + 64 * (8 * i + 4 + j));
      }
    }
  }
};

}  // namespace
}  // namespace carat
