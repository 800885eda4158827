// Fast unpacking of the encodings with blocks of 32 columns: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL.
// Layouts are in their headers. Each group of 4 columns is one 32-bit lane per row.
//
// Included inside a target region, after generic/quantized_product.h.

namespace carat {
namespace {

/// 16 bytes of each row whose low nibbles are columns j and high nibbles columns j + 16.
template <class S>
CARAT_ALWAYS_INLINE void load_nibbles(const uint8_t* p, int64_t stride, typename S::I* codes) {
  const auto nibble = S::set_i(0x0f0f0f0f);
  typename S::I q[4];
  S::load_rows(p, stride, q);
  CARAT_UNROLL
  for (int j = 0; j < 4; ++j) {
    codes[j] = S::and_i(q[j], nibble);
    codes[4 + j] = S::and_i(S::template shift_right<4>(q[j]), nibble);
  }
}

/// Bits 4 g .. 4 g + 3 of each lane as bit 4 of its four bytes.
template <class S, int g>
CARAT_ALWAYS_INLINE typename S::I fifth_bits(typename S::I bits) {
  const auto four = S::and_i(S::template shift_right<4 * g>(bits), S::set_i(15));
  // 0x00204081 repeats the four bits at 0, 7, 14 and 21, so that bit i meets bit 8 i.
  const auto spread = S::and_i(S::mul_i(four, S::set_i(0x00204081)), S::set_i(0x01010101));
  return S::template shift_left<4>(spread);
}
template <class S>
CARAT_ALWAYS_INLINE void add_fifth_bits(typename S::I bits, typename S::I* codes) {
  codes[0] = S::or_i(codes[0], fifth_bits<S, 0>(bits));
  codes[1] = S::or_i(codes[1], fifth_bits<S, 1>(bits));
  codes[2] = S::or_i(codes[2], fifth_bits<S, 2>(bits));
  codes[3] = S::or_i(codes[3], fifth_bits<S, 3>(bits));
  codes[4] = S::or_i(codes[4], fifth_bits<S, 4>(bits));
  codes[5] = S::or_i(codes[5], fifth_bits<S, 5>(bits));
  codes[6] = S::or_i(codes[6], fifth_bits<S, 6>(bits));
  codes[7] = S::or_i(codes[7], fifth_bits<S, 7>(bits));
}

template <class S, class E>
struct Unpack {
  using I = typename S::I;
  using Block = typename E::Block;
  static constexpr bool kNibbles =
      std::is_same_v<E, Q4_0> || std::is_same_v<E, Q4_1> || std::is_same_v<E, IQ4_NL>;
  static constexpr bool kFifthBits = std::is_same_v<E, Q5_0> || std::is_same_v<E, Q5_1>;
  static_assert(kNibbles || kFifthBits || std::is_same_v<E, Q8_0>);

  static CARAT_ALWAYS_INLINE void block(const uint8_t* p, int64_t stride, uint8_t* out, float* scale,
                                        float* offset) {
    const I parameters = S::load_rows_32(p, stride);  // d, and m or code bytes
    S::store(S::convert_low_f16(parameters), scale);
    if constexpr (E::kOffset == Offset::stored)
      S::store(S::convert_low_f16(S::template shift_right<16>(parameters)), offset);
    I codes[8];
    if constexpr (std::is_same_v<E, Q8_0>) {
      S::load_rows(p + offsetof(Block, qs), stride, codes);
      S::load_rows(p + offsetof(Block, qs) + 16, stride, codes + 4);
      if constexpr (!CodeFacts<S, E>::kSigned) {
        CARAT_UNROLL
        for (int j = 0; j < 8; ++j)
          codes[j] = S::xor_i(codes[j], S::set_i(static_cast<int32_t>(0x80808080u)));
      }
    } else {
      load_nibbles<S>(p + offsetof(Block, qs), stride, codes);
      if constexpr (kFifthBits) add_fifth_bits<S>(S::load_rows_32(p + offsetof(Block, qh), stride), codes);
      if constexpr (!CodeFacts<S, E>::kAffine) {
        CARAT_UNROLL
        for (int j = 0; j < 8; ++j) codes[j] = look_up_levels<S, E>(codes[j]);
      }
    }
    CARAT_UNROLL
    for (int j = 0; j < 8; ++j) S::store_i(codes[j], out + 64 * j);
  }
};

}  // namespace
}  // namespace carat
