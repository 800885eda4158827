// Fast unpacking of grouped integers (encodings/integers.h): 256 columns are 64, 96, 128 or 256 bytes of each
// row, whatever their groups. Each group of 4 columns is one 32-bit lane per row.
//
// Included inside a target region, after generic/quantized_product.h and generic/group_parameters.h.

namespace carat {
namespace {

template <class S, class E>
struct Unpack {
  using I = typename S::I;
  using F = typename S::F;
  using Facts = CodeFacts<S, E>;
  static constexpr int kBits = E::kBits;
  static constexpr int kGroup = 32;
  static constexpr int kWords = kBits;  ///< of 32 columns, 4 bytes each
  static constexpr int raise(int k) { return kBits == 4 && k >= 4 ? 4 : 0; }

  SixteenRows rows;
  const GroupParameters<S, E>& parameters;
  I run[8 * kWords];  ///< what has been read of the tile

  CARAT_ALWAYS_INLINE Unpack(const SixteenRows& tile, const GroupParameters<S, E>& p)
      : rows(tile), parameters(p) {}

  template <int leaf>
  CARAT_ALWAYS_INLINE F scale() const {
    return S::load(parameters.scale[leaf]);
  }
  template <int leaf>
  CARAT_ALWAYS_INLINE F offset() const {
    return S::load(parameters.offset[leaf]);
  }

  static constexpr int pieces(int groups) { return (groups * kWords + 3) / 4; }
  template <int piece, int end>
  CARAT_ALWAYS_INLINE void read() {
    if constexpr (piece < end) {
      S::load_rows(rows + 16 * piece, run + 4 * piece);
      read<piece + 1, end>();
    }
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    read<pieces(g), pieces(g + 1)>();
    const I* words = run + g * kWords;
    unrolled<8>([&](auto k) CARAT_INLINE_LAMBDA {
      if constexpr (kBits == 8) {
        // Stored with the highest bit flipped: as i8 it is the level of a symmetric kind.
        constexpr bool kAsStored = Facts::kSigned;
        sink.template take<k>(kAsStored ? words[k]
                                        : S::xor_i(words[k], S::set_i(static_cast<int32_t>(0x80808080u))));
      } else if constexpr (kBits == 4) {
        const I nibble = S::set_i(0x0f0f0f0f);
        sink.template take<k>(k < 4 ? S::and_i(words[k % 4], nibble)
                                    : S::and_i(words[k % 4], S::template shift_left<4>(nibble)));
      } else {
        const I field = S::and_i(S::template shift_right<k / 2 * 2>(words[k % 2]), S::set_i(0x03030303));
        if constexpr (kBits == 2) {
          sink.template take<k>(field);
        } else {
          const I third = S::and_i(at_bit_2<k>(words[2]), S::set_i(0x04040404));
          sink.template take<k>(S::or_i(field, third));
        }
      }
    });
  }

  /// Bit k of each byte, moved to bit 2; others are of no account.
  template <int k>
  static CARAT_ALWAYS_INLINE I at_bit_2(I x) {
    if constexpr (k < 2)
      return S::template shift_left<2 - k>(x);
    else
      return S::template shift_right<k - 2>(x);
  }
};

}  // namespace
}  // namespace carat
