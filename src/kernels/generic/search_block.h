// Choosing everything one block stores. Parameters are rounded as they are stored before codes are chosen,
// and errors are those of the float32 values that decoders compute.
//
// Included inside a target region after search_leaf.h; includes nothing.

namespace carat {
namespace {

/// One block of kSearchLanes rows: [column][lane] weights and how much their squared errors count.
template <class E, bool kEven>
struct Strip {
  F x[E::kBlock];
  std::conditional_t<kEven, Ones, F[E::kBlock]> w;
};

template <class E, bool kEven>
CARAT_LANES auto leaf_weights(const Strip<E, kEven>& s, int leaf) {
  return s.w + leaf * E::kLeaf;
}

/// What is stored besides codes. Integers are kept as floats.
template <class E>
struct Solution {
  F d{}, m{};
  F scale[E::kLeaves]{}, min[E::kLeaves]{};
  F error{};

  CARAT_ALWAYS_INLINE F leaf_scale(int i) const {
    if constexpr (E::kTwoLevel)
      return d * scale[i];
    else
      return d;
  }
  CARAT_ALWAYS_INLINE F leaf_offset(int i) const {
    if constexpr (E::kOffset == Offset::subtracted)
      return -(m * min[i]);
    else
      return m;
  }
  /// Takes the other's parameters in the lanes of `where`.
  CARAT_ALWAYS_INLINE void take(const Solution& other, I where) {
    d = where ? other.d : d;
    m = where ? other.m : m;
    error = where ? other.error : error;
    for (int i = 0; i < E::kLeaves; ++i) {
      scale[i] = where ? other.scale[i] : scale[i];
      min[i] = where ? other.min[i] : min[i];
    }
  }
};

template <class E, bool kEven>
CARAT_LANES F block_error(const Strip<E, kEven>& s, const Solution<E>& p) {
  F sum{};
  for (int i = 0; i < E::kLeaves; ++i)
    sum += leaf_error<E>(s.x + i * E::kLeaf, leaf_weights<E>(s, i), p.leaf_scale(i), p.leaf_offset(i));
  return sum;
}

template <class E>
CARAT_LANES F stored_scale(F real, F inverse_d) {
  return nearest_integer(clamp(real * inverse_d, E::kScaleLow, E::kScaleHigh));
}

/// Leaf parameters nearest to the fits under p.d and p.m.
template <class E>
CARAT_LANES void store_leaves(const LeafFit* fits, Solution<E>& p) {
  const F inverse_d = ratio(splat(1), p.d);
  for (int i = 0; i < E::kLeaves; ++i) p.scale[i] = stored_scale<E>(fits[i].scale, inverse_d);
  if constexpr (E::kOffset == Offset::subtracted) {
    const F inverse_m = ratio(splat(1), p.m);
    for (int i = 0; i < E::kLeaves; ++i)
      p.min[i] = nearest_integer(clamp(-fits[i].offset * inverse_m, 0.0f, E::kMinHigh));
  }
}

template <class E>
CARAT_LANES F peak_scale(const LeafFit* fits) {
  F peak = fits[0].scale;
  for (int i = 1; i < E::kLeaves; ++i)
    peak = magnitude(fits[i].scale) > magnitude(peak) ? fits[i].scale : peak;
  return peak;
}

template <class E>
CARAT_LANES F lowest_offset(const LeafFit* fits) {
  F low{};
  for (int i = 0; i < E::kLeaves; ++i) low = lower(low, fits[i].offset);
  return low;
}

/// Plain rounding: spans of leaves from their extremes, outer scales from the largest leaf.
template <class E, bool kEven>
CARAT_LANES Solution<E> nearest_solution(const Strip<E, kEven>& s) {
  LeafFit fits[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) {
    if constexpr (E::kOffset == Offset::none)
      fits[i] = nearest_symmetric<E>(s.x + i * E::kLeaf);
    else
      fits[i] = nearest_affine<E>(s.x + i * E::kLeaf);
  }
  Solution<E> p;
  if constexpr (E::kTwoLevel) {
    constexpr float extreme = E::kScaleLow < 0 ? E::kScaleLow : E::kScaleHigh;
    p.d = round_scale_to_f16(peak_scale<E>(fits) / extreme);
    if constexpr (E::kOffset == Offset::subtracted)
      p.m = round_scale_to_f16(lowest_offset<E>(fits) / -static_cast<float>(E::kMinHigh));
    store_leaves<E>(fits, p);
  } else {
    p.d = round_to_f16(fits[0].scale);
    p.m = round_to_f16(fits[0].offset);
  }
  return p;
}

/// The outer scale, among peak / level for the levels of the grid, that leaves the leaves' real scales with
/// the least error when they are stored as integers.
template <class E>
CARAT_LANES F fit_outer_scale(const LeafFit* fits) {
  const F peak = peak_scale<E>(fits);
  F best_d{}, best_cost = splat(std::numeric_limits<float>::infinity());
  const auto consider = [&](float level) __attribute__((always_inline)) {
    const F d = round_scale_to_f16(peak / level);
    const F inverse = ratio(splat(1), d);
    F cost{};
    for (int i = 0; i < E::kLeaves; ++i) {
      const F e = fits[i].scale - d * stored_scale<E>(fits[i].scale, inverse);
      cost += fits[i].curvature * e * e;
    }
    const I better = cost < best_cost;
    best_cost = better ? cost : best_cost;
    best_d = better ? d : best_d;
  };
  constexpr int first = E::kScaleHigh - E::kScaleHigh / 4;
  for (int level = first; level <= E::kScaleHigh; level += E::kScaleHigh > 64 ? 4 : 1)
    consider(static_cast<float>(level));
  if constexpr (E::kScaleLow < 0)
    for (int level = -first; level >= E::kScaleLow; level -= E::kScaleHigh > 64 ? 4 : 1)
      consider(static_cast<float>(level));
  return best_d;
}

/// Moves each leaf's integers to the best of their neighbours, under p.d and p.m; sets p.error.
template <class E, bool kEven>
CARAT_LANES void improve_leaves(const Strip<E, kEven>& s, Solution<E>& p) {
  struct Move {
    float scale, min;
  };
  // Scale and minimum move together along the diagonal that keeps the far end of the span in place.
  static constexpr Move kAffineMoves[] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, -1}};
  static constexpr Move kSymmetricMoves[] = {{1, 0}, {-1, 0}};
  constexpr auto& moves = []() -> auto& {
    if constexpr (E::kOffset == Offset::none)
      return kSymmetricMoves;
    else
      return kAffineMoves;
  }
  ();
  p.error = F{};
  for (int i = 0; i < E::kLeaves; ++i) {
    const F* x = s.x + i * E::kLeaf;
    const auto w = leaf_weights<E>(s, i);
    const F scale = p.scale[i], min = p.min[i];
    F best = leaf_error<E>(x, w, p.leaf_scale(i), p.leaf_offset(i));
    for (const Move& move : moves) {
      const F moved_scale = clamp(scale + move.scale, E::kScaleLow, E::kScaleHigh);
      F moved_min{}, offset{};
      if constexpr (E::kOffset == Offset::subtracted) {
        moved_min = clamp(min + move.min, 0.0f, E::kMinHigh);
        offset = -(p.m * moved_min);
      }
      const F error = leaf_error<E>(x, w, p.d * moved_scale, offset);
      const I better = error < best;
      best = better ? error : best;
      p.scale[i] = better ? moved_scale : p.scale[i];
      p.min[i] = better ? moved_min : p.min[i];
    }
    p.error += best;
  }
}

/// The least-squares outer parameters for the codes that p gives, rounded as stored.
template <class E, bool kEven>
CARAT_LANES void refit_outer(const Strip<E, kEven>& s, Solution<E>& p) {
  // Values are d a - m b with a = S l and b = T (or b = -1 where the offset is stored as it is).
  F aa{}, ab{}, bb{}, ax{}, bx{};
  for (int i = 0; i < E::kLeaves; ++i) {
    const F* x = s.x + i * E::kLeaf;
    const auto w = leaf_weights<E>(s, i);
    const Moments m = leaf_moments<E>(x, w, ratio(splat(1), p.leaf_scale(i)), p.leaf_offset(i));
    const F scale = E::kTwoLevel ? p.scale[i] : splat(1);
    aa += scale * scale * m.ll;
    ax += scale * m.xl;
    if constexpr (E::kOffset != Offset::none) {
      F sum_w{}, sum_x{};
      for (int j = 0; j < E::kLeaf; ++j) {
        sum_w += w[j];
        sum_x += w[j] * x[j];
      }
      const F b = E::kOffset == Offset::subtracted ? p.min[i] : splat(-1);
      ab += scale * b * m.l;
      bb += b * b * sum_w;
      bx += b * sum_x;
    }
  }
  F d = ratio(ax, aa), m{};
  if constexpr (E::kOffset != Offset::none) {
    const F determinant = aa * bb - ab * ab;
    const I solvable = determinant > 1e-6f * (aa * bb);
    const F safe = solvable ? determinant : splat(1);
    d = solvable ? (ax * bb - ab * bx) / safe : p.d;
    m = solvable ? (ax * ab - aa * bx) / safe : p.m;
  }
  if constexpr (E::kOffset == Offset::subtracted) m = higher(m, F{});
  p.d = E::kTwoLevel ? round_scale_to_f16(d) : round_to_f16(d);
  p.m = E::kOffset == Offset::subtracted ? round_scale_to_f16(m) : round_to_f16(m);
}

/// Rounds of refitting the outer parameters and the leaves' integers in turn. Without integers only the
/// rounding of the scale is left to gain: 0.1 to 0.6 % of the error, for 15 % of the time.
template <class E, bool kEven>
inline constexpr int kRounds = kEven && !E::kTwoLevel ? 0 : 3;

/// The solution of weights that lie on a grid of half as many levels, as those that once were in an encoding
/// of one bit less do: a step fewer than the span has room for, which half steps divide exactly.
template <class E>
CARAT_LANES Solution<E> half_grid_solution(const F* x) {
  const Range r = leaf_range<E>(x);
  Solution<E> p;
  p.d = round_to_f16((r.high - r.low) / (kHighLevel<E> - 1));
  p.m = round_to_f16(r.low);
  return p;
}

template <class E, bool kEven>
CARAT_LANES Solution<E> search_solution(const Strip<E, kEven>& s) {
  Solution<E> best = nearest_solution<E>(s);
  best.error = block_error<E>(s, best);

  LeafFit fits[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) {
    if constexpr (E::kOffset == Offset::none)
      fits[i] = fit_symmetric<E>(s.x + i * E::kLeaf, leaf_weights<E>(s, i));
    else
      fits[i] = fit_affine<E>(s.x + i * E::kLeaf, leaf_weights<E>(s, i));
  }
  Solution<E> p;
  if constexpr (E::kTwoLevel) {
    p.d = fit_outer_scale<E>(fits);
    if constexpr (E::kOffset == Offset::subtracted)
      p.m = round_scale_to_f16(lowest_offset<E>(fits) / -static_cast<float>(E::kMinHigh));
    store_leaves<E>(fits, p);
    improve_leaves<E>(s, p);
  } else {
    p.d = round_to_f16(fits[0].scale);
    p.m = round_to_f16(fits[0].offset);
    p.error = block_error<E>(s, p);
  }
  best.take(p, p.error < best.error);
  if constexpr (E::kOffset == Offset::stored) {
    p = half_grid_solution<E>(s.x);
    p.error = block_error<E>(s, p);
    best.take(p, p.error < best.error);
  }
  for (int round = 0; round < (kRounds<E, kEven>); ++round) {
    p = best;
    refit_outer<E>(s, p);
    if constexpr (E::kTwoLevel)
      improve_leaves<E>(s, p);
    else
      p.error = block_error<E>(s, p);
    best.take(p, p.error < best.error);
  }
  return best;
}

}  // namespace
}  // namespace carat
