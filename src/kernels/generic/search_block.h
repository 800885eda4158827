// Choosing everything one block stores. Parameters are rounded as they are stored before codes are chosen,
// and errors are those of the float32 values that decoders compute.
//
// Included inside a target region after search_fit.h; includes nothing.

namespace carat {
namespace {

/// Leaves whose integer scales can be nothing but 1.
template <class E>
constexpr bool leaves_share_scale() {
  if constexpr (E::kTwoLevel) return E::kScaleLow == E::kScaleHigh;
  return false;
}
template <class E>
inline constexpr bool kSharedScale = leaves_share_scale<E>();

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

/// What is stored besides codes. Integers are kept as floats; scales of leaves' own are kept in `scale`.
template <class E>
struct Solution {
  F d{}, m{};
  F scale[E::kLeaves]{}, min[E::kLeaves]{};
  F error{};

  CARAT_ALWAYS_INLINE F leaf_scale(int i) const {
    if constexpr (E::kOwnScales)
      return scale[i];
    else if constexpr (E::kTwoLevel)
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

/// A leaf's span from its extremes.
template <class E>
CARAT_LANES LeafFit nearest_fit(const F* x) {
  LeafFit fit;
  if constexpr (E::kOffset == Offset::none) {
    fit.scale = nearest_symmetric<E>(x);
  } else {
    const Range r = leaf_range<E>(x);
    fit.scale = (r.high - r.low) / kHighLevel<E>;
    fit.offset = r.low;
  }
  return fit;
}

/// The leaves' fits as they are stored, outer scales being those of the largest leaf.
template <class E>
CARAT_LANES Solution<E> stored_solution(const LeafFit* fits) {
  Solution<E> p;
  if constexpr (E::kOwnScales) {
    for (int i = 0; i < E::kLeaves; ++i) p.scale[i] = OwnScales<typename E::OwnScale>::rounded(fits[i].scale);
  } else if constexpr (E::kTwoLevel) {
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

/// Plain rounding.
template <class E, bool kEven>
CARAT_LANES Solution<E> nearest_solution(const Strip<E, kEven>& s) {
  if constexpr (E::kOwnScales) {
    Solution<E> p;
    for (int i = 0; i < E::kLeaves; ++i)
      p.scale[i] = OwnScales<typename E::OwnScale>::nearest(magnitude(signed_peak<E>(s.x + i * E::kLeaf)));
    return p;
  }
  LeafFit fits[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) fits[i] = nearest_fit<E>(s.x + i * E::kLeaf);
  return stored_solution<E>(fits);
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

/// How scale and minimum move: together along the diagonal that keeps the far end of the span in place.
struct Move {
  float scale, min;
};
inline constexpr Move kAffineMoves[] = {{0, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, -1}};

/// Moves the integers of leaf i to the best of their neighbours, under p.d and p.m; `sums` become those of
/// the codes. Returns what of their error depends on parameters. Scales without minimums move by up to
/// `reach`.
template <class E, bool kEven>
CARAT_LANES F improve_leaf(const Leaf<E, kEven>& leaf, int i, int reach, Solution<E>& p, Moments& sums) {
  const F d = p.d * leaf.inverse, m = p.m * leaf.inverse, origin = leaf.origin * leaf.inverse;
  const F inverse = ratio(splat(32768), d), scale = p.scale[i], min = p.min[i];
  F best = splat(std::numeric_limits<float>::infinity()), best_scale{}, best_min{};
  Moments best_sums;
  const auto consider = [&](float by_scale, float by_min) __attribute__((always_inline)) {
    const F s = clamp(scale + by_scale, E::kScaleLow, E::kScaleHigh);
    F t{}, offset{};
    if constexpr (E::kOffset == Offset::subtracted) {
      t = clamp(min + by_min, 0.0f, E::kMinHigh);
      offset = -(m * t) - origin;
    }
    // Without a scale the codes are of no account, whatever comes of dividing by zero.
    const Moments found = leaf.moments(inverse / s, offset);
    const F error = error_part(leaf, found, d * s, offset);
    const I better = error < best;
    best = better ? error : best;
    best_scale = better ? s : best_scale;
    if constexpr (E::kOffset == Offset::subtracted) best_min = better ? t : best_min;
    best_sums.take(found, better);
  };
  if constexpr (E::kOffset == Offset::none)
    for (int k = 0; k <= 2 * reach; ++k) consider(static_cast<float>(k % 2 ? (k + 1) / 2 : -(k / 2)), 0);
  else
    for (const Move& move : kAffineMoves) consider(move.scale, move.min);
  p.scale[i] = best_scale;
  p.min[i] = best_min;
  sums = best_sums;
  return leaf.unit * leaf.unit * best;
}

/// All leaves; p.error becomes what of their error depends on parameters.
template <class E, bool kEven>
CARAT_LANES void improve_leaves(const Leaf<E, kEven>* leaves, int reach, Solution<E>& p, Moments* sums) {
  p.error = F{};
  for (int i = 0; i < E::kLeaves; ++i) p.error += improve_leaf<E, kEven>(leaves[i], i, reach, p, sums[i]);
}

/// The least-squares outer parameters for codes with these sums, rounded as stored.
template <class E, bool kEven>
CARAT_LANES void refit_outer(const Leaf<E, kEven>* leaves, const Moments* sums, Solution<E>& p) {
  // Values are d a - m b with a = S l and b = T (or b = -1 where the offset is stored as it is).
  F aa{}, ab{}, bb{}, ax{}, bx{};
  for (int i = 0; i < E::kLeaves; ++i) {
    const Leaf<E, kEven>& leaf = leaves[i];
    const Moments& m = sums[i];
    const F scale = E::kTwoLevel ? p.scale[i] : splat(1);
    aa += scale * scale * m.ll;
    ax += scale * (leaf.unit * m.xl + leaf.origin * m.l);
    if constexpr (E::kOffset != Offset::none) {
      const F b = E::kOffset == Offset::subtracted ? p.min[i] : splat(-1);
      ab += scale * b * m.l;
      bb += b * b * leaf.sum_w;
      bx += b * (leaf.unit * leaf.sum_x + leaf.origin * leaf.sum_w);
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

/// The best found in integers and rounding alternately, from the leaves' fits on.
template <class E, bool kEven>
CARAT_LANES Solution<E> two_level_solution(const Leaf<E, kEven>* leaves, const LeafFit* fits) {
  Solution<E> p;
  Moments sums[E::kLeaves];
  p.d = fit_outer_scale<E>(fits);
  if constexpr (E::kOffset == Offset::subtracted)
    p.m = round_scale_to_f16(lowest_offset<E>(fits) / -static_cast<float>(E::kMinHigh));
  store_leaves<E>(fits, p);
  improve_leaves<E, kEven>(leaves, Grid<E, kEven>::kReach, p, sums);
  Solution<E> best = p;
  for (int round = 0; round < Grid<E, kEven>::kRounds; ++round) {
    refit_outer<E, kEven>(leaves, sums, p);
    improve_leaves<E, kEven>(leaves, 1, p, sums);
    best.take(p, p.error < best.error);
  }
  return best;
}

/// Leaves with scales of their own are searched each for itself: the plain scale, the fitted one as stored,
/// and what lies beside that.
template <class E, bool kEven>
CARAT_LANES Solution<E> own_scales_solution(const Strip<E, kEven>& s) {
  using Scales = OwnScales<typename E::OwnScale>;
  Solution<E> p = nearest_solution<E>(s);
  for (int i = 0; i < E::kLeaves; ++i) {
    const F* x = s.x + i * E::kLeaf;
    const auto w = leaf_weights<E>(s, i);
    F best = leaf_error<E>(x, w, p.scale[i], F{});
    const auto consider = [&](F scale) __attribute__((always_inline)) {
      const F error = leaf_error<E>(x, w, scale, F{});
      p.scale[i] = error < best ? scale : p.scale[i];
      best = error < best ? error : best;
    };
    Leaf<E, kEven> leaf;
    leaf.set(x, w);
    const F fitted = Scales::rounded(magnitude(fit_symmetric<E, kEven>(leaf).scale));
    consider(fitted);
    F above = fitted, below = fitted;
    for (int step = 0; step < Scales::kReach; ++step) {
      above = Scales::stepped(above, 1), below = Scales::stepped(below, -1);
      consider(above);
      consider(below);
    }
  }
  return p;
}

/// The scale that leaves share: the mean of their fits, moved by some factors either way, and fitted again to
/// the codes that each leads to.
template <class E, bool kEven>
CARAT_LANES Solution<E> shared_scale_solution(const Leaf<E, kEven>* leaves, const LeafFit* fits) {
  F sum{}, weight{};
  for (int i = 0; i < E::kLeaves; ++i) {
    sum += fits[i].curvature * magnitude(fits[i].scale);
    weight += fits[i].curvature;
  }
  const F mean = ratio(sum, weight);
  Solution<E> best;
  best.error = splat(std::numeric_limits<float>::infinity());
  for (const float factor : Grid<E, kEven>::shared) {
    Solution<E> p;
    Moments sums[E::kLeaves];
    p.d = round_scale_to_f16(mean * factor);
    for (F& scale : p.scale) scale = splat(1);
    improve_leaves<E, kEven>(leaves, 0, p, sums);
    best.take(p, p.error < best.error);
    for (int round = 0; round < Grid<E, kEven>::kRounds; ++round) {
      refit_outer<E, kEven>(leaves, sums, p);
      improve_leaves<E, kEven>(leaves, 0, p, sums);
      best.take(p, p.error < best.error);
    }
  }
  return best;
}

template <class E, bool kEven>
CARAT_LANES Solution<E> search_solution(const Strip<E, kEven>& s) {
  if constexpr (E::kOwnScales) return own_scales_solution<E, kEven>(s);
  Leaf<E, kEven> leaves[E::kLeaves];
  LeafFit fits[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) {
    leaves[i].set(s.x + i * E::kLeaf, leaf_weights<E>(s, i));
    if constexpr (E::kOffset == Offset::none)
      fits[i] = fit_symmetric<E, kEven>(leaves[i]);
    else
      fits[i] = fit_affine<E, kEven>(leaves[i]);
  }
  Solution<E> best = nearest_solution<E>(s);
  best.error = block_error<E>(s, best);
  const auto consider = [&](Solution<E> p) __attribute__((always_inline)) {
    p.error = block_error<E>(s, p);
    best.take(p, p.error < best.error);
  };
  if constexpr (kSharedScale<E>) {
    consider(shared_scale_solution<E, kEven>(leaves, fits));
  } else if constexpr (E::kTwoLevel) {
    consider(two_level_solution<E, kEven>(leaves, fits));
  } else {
    Solution<E> p;
    p.d = round_to_f16(fits[0].scale);
    p.m = round_to_f16(fits[0].offset);
    consider(p);
    if constexpr (E::kOffset == Offset::stored) consider(half_grid_solution<E>(s.x));
    for (int round = 0; round < Grid<E, kEven>::kRounds; ++round) {
      p = best;
      const Moments sums = leaves[0].moments(ratio(splat(32768), p.d * leaves[0].inverse),
                                             (p.m - leaves[0].origin) * leaves[0].inverse);
      refit_outer<E, kEven>(leaves, &sums, p);
      consider(p);
    }
  }
  return best;
}

}  // namespace
}  // namespace carat
