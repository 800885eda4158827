// Choosing what a block of a codebook encoding stores: a scale for the block, odd integers for its leaves,
// and codes. Scales are rounded as they are stored before codes are chosen.
//
// Included inside a target region after codebook_vectors.h; includes nothing.

namespace carat {
namespace {

/// What is stored besides codes; integers as floats.
template <class E>
struct CodebookSolution {
  F d{};
  F scale[E::kLeaves]{};

  CARAT_ALWAYS_INLINE F leaf_scale(int i) const { return d * E::kUnit * scale[i]; }
};

/// Scales that are tried in one pass: as many as leave a register for each.
inline constexpr int kTries = 8;

template <class E>
inline constexpr float kHighestLevel = [] {
  int highest = 0;
  for (int r = 0; r < VectorHalves<E>::kRanks; ++r) highest = E::kRanks[r] > highest ? E::kRanks[r] : highest;
  return static_cast<float>(kShifted<E> ? highest + 1 : highest);
}();

/// The odd integer nearest to x, of those that can be stored.
template <class E>
CARAT_LANES F nearest_odd(F x) {
  return clamp(2.0f * nearest_integer(0.5f * (clamp(x, 0.0f, 64.0f) - 1.0f)) + 1.0f, 1.0f, E::kScaleHigh);
}
template <class E>
CARAT_LANES F stored_outer(F scale) {
  return round_scale_to_f16(scale * (1 / E::kUnit));
}

/// The outer scale under which the largest of the leaves' scales is `level`.
template <class E>
CARAT_LANES F outer_scale(const F* scales, float level) {
  F peak = scales[0];
  for (int i = 1; i < E::kLeaves; ++i) peak = higher(peak, scales[i]);
  return stored_outer<E>(peak / level);
}

template <class E>
CARAT_LANES F peak_of_leaf(const F* x) {
  F peak = magnitude(x[0]);
  for (int j = 1; j < E::kLeaf; ++j) peak = higher(peak, magnitude(x[j]));
  return peak;
}

/// Scales from each leaf's peak.
template <class E, bool kEven>
CARAT_LANES CodebookSolution<E> peak_solution(const Strip<E, kEven>& s) {
  CodebookSolution<E> p;
  F scales[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) scales[i] = peak_of_leaf<E>(s.x + i * E::kLeaf) / kHighestLevel<E>;
  p.d = outer_scale<E>(scales, E::kScaleHigh);
  const F inverse = ratio(splat(1), p.d * E::kUnit);
  for (int i = 0; i < E::kLeaves; ++i) p.scale[i] = nearest_odd<E>(scales[i] * inverse);
  return p;
}

/// The scale of least error of a leaf on its own, of sixteen.
template <class E, class W>
CARAT_LANES F fit_leaf(const F* x, W w) {
  constexpr float kFirst = 0.36f, kStep = 1.08f;
  const F unit = peak_of_leaf<E>(x) / kHighestLevel<E>;
  F best = F{}, least = splat(std::numeric_limits<float>::infinity());
  float factor = kFirst;
  for (int pass = 0; pass < 2; ++pass) {
    F scale[kTries], error[kTries];
    for (int c = 0; c < kTries; ++c, factor *= kStep) scale[c] = unit * factor;
    leaf_errors<E, kTries>(x, w, scale, error);
    for (int c = 0; c < kTries; ++c) {
      best = error[c] < least ? scale[c] : best;
      least = lower(error[c], least);
    }
  }
  return best;
}

/// The best of leaf i's integers `from` + each of the n (at most kTries) steps, under outer scale d.
struct LeafStep {
  F scale, error;
};
template <class E, class W>
CARAT_LANES LeafStep step_leaf(const F* x, W w, F d, F from, const float (&steps)[kTries]) {
  F integer[kTries], scale[kTries], error[kTries];
  for (int c = 0; c < kTries; ++c) {
    integer[c] = clamp(from + steps[c], 1.0f, E::kScaleHigh);
    scale[c] = d * E::kUnit * integer[c];
  }
  leaf_errors<E, kTries>(x, w, scale, error);
  LeafStep best{integer[0], error[0]};
  for (int c = 1; c < kTries; ++c) {
    const I better = error[c] < best.error;
    best.scale = better ? integer[c] : best.scale;
    best.error = better ? error[c] : best.error;
  }
  return best;
}
inline constexpr float kNearSteps[kTries] = {0, 2, -2, 4, -4, 6, -6, 0};

/// The least-squares outer scale for the codes that are best under p, as it is stored.
template <class E, bool kEven>
CARAT_LANES F refit_outer(const Strip<E, kEven>& s, const CodebookSolution<E>& p) {
  F aa{}, ax{};
  for (int i = 0; i < E::kLeaves; ++i) {
    const F* x = s.x + i * E::kLeaf;
    const auto w = leaf_weights<E>(s, i);
    const F scale = p.leaf_scale(i);
    F shift{}, b{}, g{};
    if constexpr (kShifted<E>)
      if constexpr (E::kLeafShift) shift = leaf_shift<E>(x, w, scale);
    for (int j = 0; j < E::kLeaf; j += E::kAtom) {
      const AtomChoice c = choose_atom<E>(x + j, w + j, scale, shift);
      b += c.b, g += c.g;
    }
    ax += p.scale[i] * b;
    aa += p.scale[i] * p.scale[i] * g;
  }
  return stored_outer<E>(higher(ratio(0.5f * ax, aa), F{}));
}

template <class E, bool kEven>
CARAT_LANES CodebookSolution<E> codebook_solution(const Strip<E, kEven>& s) {
  constexpr int kOuters = 4;
  /// What the largest leaf's integer is, were it free to be any.
  constexpr float kHigh = E::kScaleHigh;
  constexpr float kLevels[kOuters] = {kHigh, kHigh * 0.93f, kHigh * 1.07f, kHigh * 0.85f};
  F fits[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) fits[i] = fit_leaf<E>(s.x + i * E::kLeaf, leaf_weights<E>(s, i));

  CodebookSolution<E> best;
  F least = splat(std::numeric_limits<float>::infinity());
  const auto consider = [&](const CodebookSolution<E>& p, F error) __attribute__((always_inline)) {
    const I better = error < least;
    least = better ? error : least;
    best.d = better ? p.d : best.d;
    for (int i = 0; i < E::kLeaves; ++i) best.scale[i] = better ? p.scale[i] : best.scale[i];
  };

  // All outer scales' integers of a leaf in one pass: the nearest one and its neighbour on the fit's side.
  CodebookSolution<E> tried[kOuters];
  F errors[kOuters]{};
  for (int o = 0; o < kOuters; ++o) tried[o].d = outer_scale<E>(fits, kLevels[o]);
  for (int i = 0; i < E::kLeaves; ++i) {
    F integer[kTries], scale[kTries], error[kTries];
    for (int o = 0; o < kOuters; ++o) {
      const F inverse = ratio(splat(1), tried[o].d * E::kUnit), real = fits[i] * inverse;
      integer[2 * o] = nearest_odd<E>(real);
      integer[2 * o + 1] =
          clamp(integer[2 * o] + (real > integer[2 * o] ? splat(2) : splat(-2)), 1.0f, kHigh);
      for (int k = 0; k < 2; ++k) scale[2 * o + k] = tried[o].d * E::kUnit * integer[2 * o + k];
    }
    leaf_errors<E, kTries>(s.x + i * E::kLeaf, leaf_weights<E>(s, i), scale, error);
    for (int o = 0; o < kOuters; ++o) {
      const I second = error[2 * o + 1] < error[2 * o];
      tried[o].scale[i] = second ? integer[2 * o + 1] : integer[2 * o];
      errors[o] += second ? error[2 * o + 1] : error[2 * o];
    }
  }
  for (int o = 0; o < kOuters; ++o) consider(tried[o], errors[o]);

  constexpr int kRounds = 2;
  for (int round = 0; round < kRounds; ++round) {
    CodebookSolution<E> p = best;
    p.d = refit_outer<E>(s, best);
    F error{};
    for (int i = 0; i < E::kLeaves; ++i) {
      const LeafStep step =
          step_leaf<E>(s.x + i * E::kLeaf, leaf_weights<E>(s, i), p.d, best.scale[i], kNearSteps);
      p.scale[i] = step.scale;
      error += step.error;
    }
    consider(p, error);
  }
  return best;
}

}  // namespace
}  // namespace carat
