// Fast unpacking of the encodings with blocks of 32 columns: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL.
// Layouts are in their headers. Each group of 4 columns is one 32-bit lane per row.
//
// Blocks are 18 to 34 bytes, but eight of them are a multiple of 16: a tile is read as one run of 16-byte
// pieces, each as it is first needed, and fields are taken from the run. Loading each block by itself costs a
// second, scalar load per row for the bytes that sixteen do not cover (1.6 times the time of a Q4_0 tile).
//
// Included inside a target region, after generic/quantized_product.h.

namespace carat {
namespace {

/// Bits 4 g .. 4 g + 3 of each lane as bit 4 of its four bytes.
template <class S, int g>
CARAT_ALWAYS_INLINE typename S::I fifth_bits(typename S::I bits) {
  const auto four = S::and_i(S::template shift_right<4 * g>(bits), S::set_i(15));
  // 0x00204081 repeats the four bits at 0, 7, 14 and 21, so that bit i meets bit 8 i.
  const auto spread = S::and_i(S::mul_i(four, S::set_i(0x00204081)), S::set_i(0x01010101));
  return S::template shift_left<4>(spread);
}
template <class S, class E>
struct Unpack {
  using I = typename S::I;
  using F = typename S::F;
  using Block = typename E::Block;
  static constexpr bool kNibbles =
      std::is_same_v<E, Q4_0> || std::is_same_v<E, Q4_1> || std::is_same_v<E, IQ4_NL>;
  static constexpr bool kFifthBits = std::is_same_v<E, Q5_0> || std::is_same_v<E, Q5_1>;
  static_assert(kNibbles || kFifthBits || std::is_same_v<E, Q8_0>);

  static constexpr bool kRaised = kNibbles && CodeFacts<S, E>::kAffine;
  static constexpr int kGroup = 32;
  static constexpr int raise(int k) { return kRaised && k >= 4 ? 4 : 0; }
  static constexpr int kBytes = int{sizeof(Block)};
  static_assert(kBytes % 2 == 0);

  SixteenRows rows;
  I run[8 * kBytes / 4];  ///< what has been read of the tile, 4 bytes of each row

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile) : rows(tile) {}

  static constexpr int pieces(int groups) { return (groups * kBytes + 15) / 16; }
  template <int piece, int end>
  CARAT_ALWAYS_INLINE void read() {
    if constexpr (piece < end) {
      S::load_rows(rows + 16 * piece, run + 4 * piece);
      read<piece + 1, end>();
    }
  }

  /// Bytes at .. at + 3 of the tile; at + 3 has been read.
  template <int at>
  CARAT_ALWAYS_INLINE I bytes() const {
    if constexpr (at % 4 == 0)
      return run[at / 4];
    else
      return S::middle(run[at / 4], run[at / 4 + 1]);
  }
  template <int at>
  CARAT_ALWAYS_INLINE F half() const {
    if constexpr (at % 4 == 0)
      return S::convert_low_f16(run[at / 4]);
    else
      return S::convert_low_f16(S::template shift_right<16>(run[at / 4]));
  }

  template <int leaf>
  CARAT_ALWAYS_INLINE F scale() const {
    return half<leaf * kBytes>();
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE F offset() const {
    return half<leaf * kBytes + 2>();
  }

  /// Step k of group g from its nibbles.
  template <int g, int k>
  CARAT_ALWAYS_INLINE I code(I nibbles) const {
    if constexpr (kFifthBits) {
      const I bits = bytes<g * kBytes + int{offsetof(Block, qs)} - 4>();  // qh
      nibbles = S::or_i(nibbles, fifth_bits<S, k>(bits));
    }
    if constexpr (!CodeFacts<S, E>::kAffine) nibbles = look_up_levels<S, E>(nibbles);
    return nibbles;
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    read<pieces(g), pieces(g + 1)>();
    constexpr int qs = g * kBytes + int{offsetof(Block, qs)};
    if constexpr (std::is_same_v<E, Q8_0>) {
      unrolled<8>([&](auto j) CARAT_INLINE_LAMBDA {
        I q = bytes<qs + 4 * j>();
        if constexpr (!CodeFacts<S, E>::kSigned) q = S::xor_i(q, S::set_i(static_cast<int32_t>(0x80808080u)));
        sink.template take<j>(q);
      });
    } else {
      const I nibble = S::set_i(0x0f0f0f0f);
      I q[4];
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        q[j] = bytes<qs + 4 * j>();
        sink.template take<j>(code<g, j>(S::and_i(q[j], nibble)));
      });
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {
        sink.template take<j + 4>(code<g, j + 4>(kRaised
                                                     ? S::and_i(q[j], S::template shift_left<4>(nibble))
                                                     : S::and_i(S::template shift_right<4>(q[j]), nibble)));
      });
    }
  }
};

}  // namespace
}  // namespace carat
