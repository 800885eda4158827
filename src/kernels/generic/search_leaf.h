// Fitting one leaf: the scale, or scale and offset, whose nearest codes leave the least weighted squared
// error.
//
// For given codes the best real scale is a least-squares solution; for a given scale the best codes are the
// nearest ones. Many starting scales, one least-squares step each, then a few rounds of both find good minima
// (the alternation is Lloyd's, "Least squares quantization in PCM", 1982).
//
// Included inside a target region after search_grids.h; includes nothing.

namespace carat {
namespace {

template <class E>
inline constexpr bool kLinear = !std::is_base_of_v<IQ4_NL, E> && !std::is_same_v<E, IQ4_XS>;
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
    for (int c = 1; c < E::kCodes; ++c) code -= t > 0.5f * static_cast<float>(E::level(c - 1) + E::level(c));
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

/// Sums over a leaf, for levels l: of w x l, w l^2 and w l.
struct Moments {
  F xl{}, ll{}, l{};
};

template <class E, class W>
CARAT_LANES Moments leaf_moments(const F* x, W w, F inverse, F offset) {
  Moments m;
#pragma GCC unroll 4
  for (int j = 0; j < E::kLeaf; ++j) {
    F t = x[j];
    if constexpr (E::kOffset != Offset::none) t -= offset;
    const F level = nearest_level<E>(t * inverse);
    const F wl = w[j] * level;
    m.xl += wl * x[j];
    m.ll += wl * level;
    if constexpr (E::kOffset != Offset::none) m.l += wl;
  }
  return m;
}

/// A leaf's real-valued parameters; curvature is how much the error grows with the square of the scale's
/// change.
struct LeafFit {
  F scale{}, offset{}, curvature{};
};

/// The element of greatest magnitude, with its sign.
template <class E>
CARAT_LANES F signed_peak(const F* x) {
  F peak = x[0];
#pragma GCC unroll 4
  for (int j = 1; j < E::kLeaf; ++j) peak = magnitude(x[j]) > magnitude(peak) ? x[j] : peak;
  return peak;
}

template <class E>
CARAT_LANES LeafFit nearest_symmetric(const F* x) {
  constexpr float level = E::kCodes == 256 ? 127.0f : kLowLevel<E>;
  return {.scale = signed_peak<E>(x) / level};
}

template <class E, class W>
CARAT_LANES LeafFit fit_symmetric(const F* x, W w) {
  using Grid = std::conditional_t<std::is_same_v<W, Ones>, EvenGrid<E>, UnevenGrid<E>>;
  const F unit = ratio(splat(1), signed_peak<E>(x));
  F best_gain{};
  LeafFit best;
  const auto consider = [&](F inverse) __attribute__((always_inline)) {
    const Moments m = leaf_moments<E>(x, w, inverse, F{});
    const F scale = ratio(m.xl, m.ll);
    const F gain = m.xl * scale;
    const I better = gain > best_gain;
    best_gain = better ? gain : best_gain;
    best.scale = better ? scale : best.scale;
    best.curvature = better ? m.ll : best.curvature;
  };
  for (const Levels& l : Grid::levels)
    for (int i = 0; i < l.count; ++i) consider(unit * (l.first + l.step * static_cast<float>(i)));
  for (int i = 0; i < Grid::kRefinements; ++i) consider(ratio(splat(1), best.scale));
  return best;
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

template <class E>
CARAT_LANES LeafFit nearest_affine(const F* x) {
  const Range r = leaf_range<E>(x);
  return {.scale = (r.high - r.low) / kHighLevel<E>, .offset = r.low};
}

template <class E, class W>
CARAT_LANES LeafFit fit_affine(const F* x, W w) {
  using Grid = std::conditional_t<std::is_same_v<W, Ones>, EvenGrid<E>, UnevenGrid<E>>;
  constexpr bool signed_offset = E::kOffset == Offset::stored;
  Range r = leaf_range<E>(x);
  // With a free offset, sums are taken from the low end of the span, so that a large mean does not eat the
  // precision of the differences.
  const F origin = signed_offset ? r.low : F{};
  F moved[E::kLeaf];
  if constexpr (signed_offset) {
    for (int j = 0; j < E::kLeaf; ++j) moved[j] = x[j] - origin;
    r = {F{}, r.high - r.low};
    x = moved;
  }
  F sum_w{}, sum_x{};
#pragma GCC unroll 4
  for (int j = 0; j < E::kLeaf; ++j) {
    sum_w += w[j];
    sum_x += w[j] * x[j];
  }
  F best_gain = splat(-1);
  LeafFit best;
  I better{};
  const auto consider = [&](F inverse, F offset) __attribute__((always_inline)) {
    const Moments m = leaf_moments<E>(x, w, inverse, offset);
    const F determinant = sum_w * m.ll - m.l * m.l;
    const I solvable = determinant > 1e-6f * (sum_w * m.ll);
    const F safe = solvable ? determinant : splat(1);
    F scale = solvable ? (sum_w * m.xl - m.l * sum_x) / safe : F{};
    F shift = solvable ? (m.ll * sum_x - m.l * m.xl) / safe : ratio(sum_x, sum_w);
    F curvature = solvable ? ratio(safe, sum_w) : F{};
    if constexpr (!signed_offset) {
      const I through_zero = (shift > 0.0f) | (~solvable & (m.ll > 0.0f));
      scale = through_zero ? higher(ratio(m.xl, m.ll), F{}) : scale;
      shift = through_zero ? F{} : shift;
      curvature = through_zero ? m.ll : curvature;
    }
    const F gain = scale * m.xl + shift * sum_x;
    better = gain > best_gain;
    best_gain = better ? gain : best_gain;
    best.scale = better ? scale : best.scale;
    best.offset = better ? shift : best.offset;
    best.curvature = better ? curvature : best.curvature;
  };
  const F width = r.high - r.low;
  const F step = width / kHighLevel<E>;
  F best_low{}, best_high{};
  const auto consider_ends = [&](F low, F high) __attribute__((always_inline)) {
    consider(ratio(splat(kHighLevel<E>), width - step * (low + high)), r.low + step * low);
    best_low = better ? low : best_low;
    best_high = better ? high : best_high;
  };
  for (float low : Grid::ends)
    for (float high : Grid::ends) consider_ends(splat(low), splat(high));
  // One level fewer than the span has room for: weights that lie on a grid of half as many levels fit
  // exactly.
  consider_ends(F{}, splat(-1));
  for (float move : Grid::moves) {
    const F low = best_low, high = best_high;
    consider_ends(low + move, high);
    consider_ends(low - move, high);
    consider_ends(low, high + move);
    consider_ends(low, high - move);
  }
  for (int i = 0; i < Grid::kRefinements; ++i) consider(ratio(splat(1), best.scale), best.offset);
  best.offset += origin;
  return best;
}

}  // namespace
}  // namespace carat
