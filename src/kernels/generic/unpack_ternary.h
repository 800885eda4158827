// Fast unpacking of the ternary encodings TQ1_0 and TQ2_0. Layouts are in their headers. Each group of 4
// columns is one 32-bit lane per row; all leaves have the scale 1.
//
// Included inside a target region, after generic/unpack_block256.h.

namespace carat {
namespace {

template <class S>
struct Unpack<S, TQ2_0> {
  using I = typename S::I;
  using F = typename S::F;
  static constexpr int kGroup = 128;
  static constexpr int raise(int) { return 0; }
  SixteenRows rows;
  F d;

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile)
      : rows(tile),
        d(S::convert_low_f16(
            S::template shift_right<16>(S::load_rows_32(tile + (offsetof(TQ2_0::Block, d) - 2))))) {}

  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return S::set_i(1);
  }
  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    I q[8];
    S::load_rows(rows + 32 * g, q);
    S::load_rows(rows + 32 * g + 16, q + 4);
    unrolled<4>([&](auto h) CARAT_INLINE_LAMBDA {
      unrolled<8>([&](auto j) CARAT_INLINE_LAMBDA {
        sink.template take<8 * h + j>(Fields<S>::template crumbs<h>(q[j]));
      });
    });
  }
};

/// The digits of fractions in base 3, of which four lie in each lane: those of bytes 0 and 2, and of 1 and 3,
/// apart, as thrice a byte needs ten bits.
template <class S>
struct Digits {
  using I = typename S::I;
  I even, odd;

  CARAT_ALWAYS_INLINE Digits() = default;
  CARAT_ALWAYS_INLINE explicit Digits(I bytes)
      : even(S::and_i(bytes, low())), odd(S::and_i(S::template shift_right<8>(bytes), low())) {}

  CARAT_ALWAYS_INLINE I next() {
    even = S::add_i(even, S::add_i(even, even));
    odd = S::add_i(odd, S::add_i(odd, odd));
    const I digits = S::or_masked(S::and_i(S::template shift_right<8>(even), low()), odd,
                                  S::set_i(static_cast<int32_t>(0xff00ff00u)));
    even = S::and_i(even, low());
    odd = S::and_i(odd, low());
    return digits;
  }

 private:
  static CARAT_ALWAYS_INLINE I low() { return S::set_i(0x00ff00ff); }
};

template <class S>
struct Unpack<S, TQ1_0> {
  using I = typename S::I;
  using F = typename S::F;
  static constexpr int kGroup = 32;
  static constexpr int raise(int) { return 0; }
  SixteenRows rows;
  F d;
  Digits<S> digits[8];  ///< of the bytes that the present columns lie in

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& tile)
      : rows(tile),
        d(S::convert_low_f16(
            S::template shift_right<16>(S::load_rows_32(tile + (offsetof(TQ1_0::Block, d) - 2))))) {
    start<0, 2>();
  }

  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return S::set_i(1);
  }
  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    if constexpr (g < 5) {
      unrolled<8>([&](auto j) CARAT_INLINE_LAMBDA { sink.template take<j>(digits[j].next()); });
    } else {
      if constexpr (g == 5) start<32, 1>();
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA { sink.template take<j>(digits[j].next()); });
      if constexpr (g < 7) {
        unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA { sink.template take<j + 4>(digits[j].next()); });
      } else {
        Digits<S> last(S::load_rows_32(rows + offsetof(TQ1_0::Block, qh)));
        unrolled<4>([&](auto n) CARAT_INLINE_LAMBDA { sink.template take<n + 4>(last.next()); });
      }
    }
  }

 private:
  template <int at, int pieces>
  CARAT_ALWAYS_INLINE void start() {
    unrolled<pieces>([&](auto piece) CARAT_INLINE_LAMBDA {
      I q[4];
      S::load_rows(rows + at + 16 * piece, q);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA { digits[4 * piece + j] = Digits<S>(q[j]); });
    });
  }
};

}  // namespace
}  // namespace carat
