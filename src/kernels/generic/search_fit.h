// Fitting one leaf: the scale, or scale and offset, whose nearest codes leave the least weighted squared
// error.
//
// For given codes the best real scale is a least-squares solution; for a given scale the best codes are the
// nearest ones. Many starting scales, one least-squares step each, then a few rounds of both find good minima
// (the alternation is Lloyd's, "Least squares quantization in PCM", 1982). Gains are fractions, compared by
// products: divisions are left for the winner.
//
// Included inside a target region after search_sums.h and search_grids.h; includes nothing.

namespace carat {
namespace {

/// A leaf's real-valued parameters; curvature is how much the error grows with the square of the scale's
/// change.
struct LeafFit {
  F scale{}, offset{}, curvature{};
};

template <class E, bool kEven>
CARAT_LANES LeafFit fit_symmetric(const Leaf<E, kEven>& leaf) {
  // The gain of a candidate's best scale is xl^2 / ll.
  F best_gain{}, best_xl{}, best_ll = splat(1);
  const auto consider = [&](F inverse) __attribute__((always_inline)) {
    const Moments m = leaf.moments(inverse, F{});
    const F gain = m.xl * m.xl;
    const I better = gain * best_ll > best_gain * m.ll;
    best_gain = better ? gain : best_gain;
    best_xl = better ? m.xl : best_xl;
    best_ll = better ? m.ll : best_ll;
  };
  for (const Levels& l : Grid<E, kEven>::levels)
    for (int i = 0; i < l.count; ++i) {
      const float level = l.first + l.step * static_cast<float>(i);
      consider(splat(level * (kStepInverse<E> / kTopLevel<E>)));
    }
  for (int i = 0; i < Grid<E, kEven>::kRefinements; ++i) consider(ratio(32768.0f * best_ll, best_xl));
  return {.scale = best_xl / best_ll * leaf.unit, .offset = F{}, .curvature = best_ll};
}

/// A straight line through the levels of a leaf, in its units.
struct Line {
  F scale, offset, curvature;
};

template <class E, bool kEven>
CARAT_LANES LeafFit fit_affine(const Leaf<E, kEven>& leaf) {
  constexpr bool kBelowZero = E::kOffset == Offset::subtracted;
  constexpr float top = kTopLevel<E>;
  // A subtracted offset cannot be above zero, which lies here.
  const F zero = kBelowZero ? -leaf.origin * leaf.inverse : F{};
  const F n = leaf.sum_w, from_zero = leaf.sum_x - n * zero, from_zero_square = from_zero * from_zero;
  // The gain of a candidate over the best constant is the covariance's square over the determinant.
  F best_gain{}, best_part = splat(1);
  Moments best;
  I better{};
  const auto consider = [&](F inverse, F offset) __attribute__((always_inline)) {
    const Moments m = leaf.moments(inverse, offset);
    const F determinant = n * m.ll - m.l * m.l, covariance = n * m.xl - m.l * leaf.sum_x;
    F gain = covariance * covariance, part = determinant;
    if constexpr (kBelowZero) {
      const I through_zero = m.ll * leaf.sum_x - m.l * m.xl > zero * determinant;
      if (any(through_zero)) {
        const F xl = m.xl - zero * m.l;
        gain = through_zero ? n * (xl * xl) - from_zero_square * m.ll : gain;
        part = through_zero ? m.ll : part;
      }
    }
    better = gain * best_part > best_gain * part;
    best_gain = better ? gain : best_gain;
    best_part = better ? part : best_part;
    best.take(m, better);
  };
  const auto line = [&]() __attribute__((always_inline)) {
    const F determinant = n * best.ll - best.l * best.l, inverse = ratio(splat(1), determinant);
    Line r{(n * best.xl - best.l * leaf.sum_x) * inverse, (best.ll * leaf.sum_x - best.l * best.xl) * inverse,
           ratio(determinant, n)};
    r.offset = determinant == 0.0f ? ratio(leaf.sum_x, n) : r.offset;
    if constexpr (kBelowZero) {
      const I through_zero = r.offset > zero;
      r.scale = through_zero ? ratio(best.xl - zero * best.l, best.ll) : r.scale;
      r.offset = through_zero ? zero : r.offset;
      r.curvature = through_zero ? best.ll : r.curvature;
    }
    return r;
  };
  F best_low{}, best_high{};
  const auto consider_ends = [&](F low, F high) __attribute__((always_inline)) {
    consider(splat(kStepInverse<E> * top) / (top - (low + high)), low * kStepUnits<E>);
    best_low = better ? low : best_low;
    best_high = better ? high : best_high;
  };
  for (float low : Grid<E, kEven>::ends)
    for (float high : Grid<E, kEven>::ends) consider_ends(splat(low), splat(high));
  // One level fewer than the span has room for: weights that lie on a grid of half as many levels fit
  // exactly.
  consider_ends(F{}, splat(-1));
  for (float move : Grid<E, kEven>::moves) {
    const F low = best_low, high = best_high;
    const float moves[4][2] = {{move, 0}, {-move, 0}, {0, move}, {0, -move}};
    for (const auto& m : moves) consider_ends(low + m[0], high + m[1]);
  }
  for (int i = 0; i < Grid<E, kEven>::kRefinements; ++i) {
    const Line l = line();
    consider(ratio(splat(32768), l.scale), l.offset);
  }
  const Line l = line();
  return {
      .scale = l.scale * leaf.unit, .offset = leaf.origin + l.offset * leaf.unit, .curvature = l.curvature};
}

}  // namespace
}  // namespace carat
