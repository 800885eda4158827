// One leaf under given parameters: its nearest codes and what they lose.
//
// Included inside a target region after search_lanes.h; includes nothing.

namespace carat {
namespace {

template <class E>
constexpr bool levels_are_consecutive() {
  for (int c = 0; c < E::kCodes; ++c)
    if (E::level(c) != E::level(0) + c) return false;
  return true;
}
template <class E>
inline constexpr bool kLinear = levels_are_consecutive<E>();
template <class E>
inline constexpr float kLowLevel = static_cast<float>(E::level(0));
template <class E>
inline constexpr float kHighLevel = static_cast<float>(E::level(E::kCodes - 1));

/// The level nearest to t.
template <class E>
CARAT_LANES F nearest_level(F t) {
  if constexpr (kLinear<E>) {
    return nearest_integer(clamp(t, kLowLevel<E>, kHighLevel<E>));
  } else {
    F level = splat(kLowLevel<E>);
    CARAT_UNROLL
    for (int c = 1; c < E::kCodes; ++c) {
      const float middle = 0.5f * static_cast<float>(E::level(c - 1) + E::level(c));
      level = t > middle ? splat(static_cast<float>(E::level(c))) : level;
    }
    return level;
  }
}

template <class E>
CARAT_LANES I nearest_code(F t) {
  if constexpr (kLinear<E>) {
    return __builtin_convertvector(nearest_level<E>(t) - kLowLevel<E>, I);
  } else {
    I code{};
    CARAT_UNROLL
    for (int c = 1; c < E::kCodes; ++c) {
      const int below =
          E::level(c - 1) == E::level(c) ? c - 2 : c - 1;  // of zeros of either sign, the positive
      code -= t > 0.5f * static_cast<float>(E::level(below) + E::level(below + 1));
    }
    return code;
  }
}

/// Weights that are all 1: multiplying by them costs nothing.
struct Ones {
  CARAT_ALWAYS_INLINE F operator[](int) const { return splat(1); }
  CARAT_ALWAYS_INLINE Ones operator+(int) const { return {}; }
};

/// Weighted squared error of a leaf under exactly these float32 parameters, with the nearest codes.
template <class E, class W>
CARAT_LANES F leaf_error(const F* x, W w, F scale, F offset) {
  const F inverse = ratio(splat(1), scale);
  F sum{};
#pragma GCC unroll 4
  for (int j = 0; j < E::kLeaf; ++j) {
    F e;
    if constexpr (E::kOffset == Offset::none)
      e = x[j] - scale * nearest_level<E>(x[j] * inverse);
    else
      e = x[j] - (scale * nearest_level<E>((x[j] - offset) * inverse) + offset);
    sum += w[j] * e * e;
  }
  return sum;
}

/// The element of greatest magnitude, with its sign.
template <class E>
CARAT_LANES F signed_peak(const F* x) {
  F peak = x[0];
#pragma GCC unroll 4
  for (int j = 1; j < E::kLeaf; ++j) peak = magnitude(x[j]) > magnitude(peak) ? x[j] : peak;
  return peak;
}

template <class E>
CARAT_LANES F nearest_symmetric(const F* x) {
  if constexpr (kLowLevel<E> == -kHighLevel<E>) return magnitude(signed_peak<E>(x)) / kHighLevel<E>;
  constexpr float level = E::kCodes == 256 ? 127.0f : kLowLevel<E>;
  return signed_peak<E>(x) / level;
}

struct Range {
  F low, high;
};

/// The span that codes must cover. A subtracted offset cannot be positive: the span then begins at 0.
template <class E>
CARAT_LANES Range leaf_range(const F* x) {
  Range r{x[0], x[0]};
#pragma GCC unroll 4
  for (int j = 1; j < E::kLeaf; ++j) {
    r.low = lower(r.low, x[j]);
    r.high = higher(r.high, x[j]);
  }
  if constexpr (E::kOffset == Offset::subtracted) r.low = lower(r.low, F{});
  return r;
}

}  // namespace
}  // namespace carat
