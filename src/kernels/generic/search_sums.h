// The sums by which the searches judge candidates: over a leaf's codes under some scale and offset.
//
// Where all columns count alike they are taken in 16-bit integers, in which a candidate costs six or seven
// instructions per two columns of every row; floats take a dozen for one. A weight is counted in units of
// 1/128 of the step that the leaf's span suggests, and the inverse of a scale in 1/2^15. That moves a code
// only where it hardly matters; the sums are exact for the codes as they came out. What a search returns is
// measured in floats (leaf_error). Where importance differs, 16 bits are too few for its products with
// levels, as they are for the 256 codes of Q8_0.
//
// Included inside a target region after search_leaf.h; includes nothing.

namespace carat {
namespace {

/// Greatest magnitude of a level.
template <class E>
inline constexpr int kTopLevel = -E::level(0) > E::level(E::kCodes - 1) ? -E::level(0)
                                                                        : E::level(E::kCodes - 1);
/// Units of a step, where the greatest level is put on the greatest weight, and of a leaf's span.
template <class E>
inline constexpr int kStepUnits = kTopLevel<E> < 32 || kLinear<E> ? 128 : 16;
template <class E>
inline constexpr int kSpanUnits = kStepUnits<E>* kTopLevel<E>;
/// Scales' inverses are counted in this: a step's units times a step's inverse are 2^15, one level.
template <class E>
inline constexpr float kStepInverse = 32768.0f / kStepUnits<E>;

/// Sums over a leaf, for levels l: of w x l, w l^2 and w l.
struct Moments {
  F xl{}, ll{}, l{};

  CARAT_ALWAYS_INLINE void take(const Moments& other, I where) {
    xl = where ? other.xl : xl;
    ll = where ? other.ll : ll;
    l = where ? other.l : l;
  }
};

/// One leaf of every row, whose weights are origin + unit * x.
template <class E>
struct LeafFrame {
  F unit, inverse, origin;  ///< inverse: 1 / unit, or 0 where a unit is next to nothing
  F sum_w, sum_x;           ///< over the x

  CARAT_ALWAYS_INLINE void set_frame(const F* x) {
    F span;
    if constexpr (E::kOffset == Offset::none) {
      span = signed_peak<E>(x);
      origin = F{};
    } else {
      const Range r = leaf_range<E>(x);
      span = r.high - r.low;
      origin = r.low;
    }
    unit = span * (1.0f / kSpanUnits<E>);
    // Smaller leaves are zero to every encoding's scales, and their inverse might be infinite.
    const I counts = magnitude(unit) > 0x1p-100f;
    inverse = counts ? splat(1) / unit : F{};
    sum_w = sum_x = F{};
  }
};

template <class E>
CARAT_LANES H nearest_level(H t) {
  if constexpr (kLinear<E>) {
    constexpr int16_t low = E::level(0), high = E::level(E::kCodes - 1);
    return lower(higher(t, H{} + low), H{} + high);
  } else {
    H level = H{} + static_cast<int16_t>(E::level(0));
    CARAT_UNROLL
    for (int c = 1; c < E::kCodes; ++c) {
      constexpr auto floor_half = [](int x) { return static_cast<int16_t>(x >> 1); };
      const H above = t > floor_half(E::level(c - 1) + E::level(c));
      level += above & static_cast<int16_t>(E::level(c) - E::level(c - 1));
    }
    return level;
  }
}

/// A leaf whose columns count alike, in integers.
template <class E>
struct EvenLeaf : LeafFrame<E> {
  H x[E::kLeaf / 2];

  CARAT_ALWAYS_INLINE void set(const F* weights, Ones) {
    this->set_frame(weights);
    this->sum_w = splat(E::kLeaf);
    I sum{};
    CARAT_UNROLL
    for (int j = 0; j < E::kLeaf / 2; ++j) {
      F a = weights[2 * j], b = weights[2 * j + 1];
      if constexpr (E::kOffset != Offset::none) a -= this->origin, b -= this->origin;
      x[j] = pair(low_integer(a * this->inverse), low_integer(b * this->inverse));
      sum = add_products(sum, x[j], H{} + int16_t{1});
    }
    this->sum_x = __builtin_convertvector(sum, F);
  }

  /// The sums for the levels nearest to (x - offset) * inverse_scale / 2^15; both are cut to 16
  /// bits, beyond which no scale is of use.
  CARAT_ALWAYS_INLINE Moments moments(F inverse_scale, F offset) const {
    const H h = twice(low_integer(clamp(inverse_scale, -32767.0f, 32767.0f)));
    H o{};
    if constexpr (E::kOffset != Offset::none) o = twice(low_integer(clamp(offset, -16383.0f, 16383.0f)));
    // Two sums of each kind: one would make the loop wait for its additions.
    I xl[2]{}, ll[2]{};
    H l{};
    CARAT_UNROLL
    for (int j = 0; j < E::kLeaf / 2; ++j) {
      H t = x[j];
      if constexpr (E::kOffset != Offset::none) t -= o;
      const H level = nearest_level<E>(multiply_high(t, h));
      xl[j % 2] = add_products(xl[j % 2], level, x[j]);
      ll[j % 2] = add_products(ll[j % 2], level, level);
      if constexpr (E::kOffset != Offset::none) l += level;
    }
    Moments m;
    m.xl = __builtin_convertvector(xl[0] + xl[1], F);
    m.ll = __builtin_convertvector(ll[0] + ll[1], F);
    if constexpr (E::kOffset != Offset::none)
      m.l = __builtin_convertvector(add_products(I{}, l, H{} + int16_t{1}), F);
    return m;
  }
};

/// A leaf in floats, W being Ones or const F*.
template <class E, class W>
struct FloatLeaf : LeafFrame<E> {
  F x[E::kLeaf];
  W w;

  CARAT_ALWAYS_INLINE void set(const F* weights, W importance) {
    this->set_frame(weights);
    w = importance;
    for (int j = 0; j < E::kLeaf; ++j) {
      x[j] = (weights[j] - this->origin) * this->inverse;
      this->sum_w += w[j];
      this->sum_x += w[j] * x[j];
    }
  }

  CARAT_ALWAYS_INLINE Moments moments(F inverse_scale, F offset) const {
    const F to_levels = inverse_scale * (1 / 32768.0f);
    Moments m;
#pragma GCC unroll 4
    for (int j = 0; j < E::kLeaf; ++j) {
      F t = x[j];
      if constexpr (E::kOffset != Offset::none) t -= offset;
      const F level = nearest_level<E>(t * to_levels);
      const F wl = w[j] * level;
      m.xl += wl * x[j];
      m.ll += wl * level;
      if constexpr (E::kOffset != Offset::none) m.l += wl;
    }
    return m;
  }
};

template <class E, bool kEven>
using Leaf = std::conditional_t<!kEven, FloatLeaf<E, const F*>,
                                std::conditional_t<E::kCodes <= 64, EvenLeaf<E>, FloatLeaf<E, Ones>>>;

/// What of a leaf's squared error depends on scale and offset, for codes with these sums; all in its units.
template <class E>
CARAT_LANES F error_part(const LeafFrame<E>& leaf, const Moments& m, F scale, F offset) {
  if constexpr (E::kOffset == Offset::none)
    return scale * (scale * m.ll - 2.0f * m.xl);
  else
    return scale * (scale * m.ll - 2.0f * (m.xl - offset * m.l)) +
           offset * (offset * leaf.sum_w - 2.0f * leaf.sum_x);
}

}  // namespace
}  // namespace carat
