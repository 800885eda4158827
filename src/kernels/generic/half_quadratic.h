// HQQ: parameters that leave a small sum of |error|^p, p < 1, which forgives outliers that squares follow
// (Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023).
//
// With errors split into a part that is kept for nothing (`spared`, by the shrinkage operator of |x|^p) and
// one that counts quadratically, both steps have closed forms: spared errors for given parameters; parameters
// for given spared errors and codes, which are the mean (offset) or a projection (scale). The paper refines
// the offset only and takes the scale from the extremes. Here encodings without an offset have their scale
// refined by the same splitting instead.
//
// Included inside a target region after search_block.h; includes nothing.

namespace carat {
namespace {

struct HalfQuadratic {
  static constexpr int kIterations = 20;
  static constexpr float kNorm = 0.7f, kBeta = 10, kKappa = 1.01f;
};

/// sign(e) max(0, |e| - |e|^(p - 1) / beta). Errors below beta^(-1 / (2 - p)) give 0, and larger ones are
/// rare.
CARAT_LANES F spared_error(F e, float beta, float threshold) {
  F spared{};
  const I large = magnitude(e) > threshold;
  if (__builtin_expect(any(large), 0))
    for (int i = 0; i < kSearchLanes; ++i)
      if (large[i]) {
        const float size = std::fabs(e[i]), left = size - std::pow(size, HalfQuadratic::kNorm - 1) / beta;
        spared[i] = std::copysign(left > 0 ? left : 0.0f, e[i]);
      }
  return spared;
}

template <class E>
CARAT_LANES LeafFit half_quadratic_fit(const F* x) {
  constexpr bool kScale = E::kOffset == Offset::none;
  LeafFit fit = nearest_fit<E>(x), best = fit;
  F best_error = splat(std::numeric_limits<float>::infinity());
  float beta = HalfQuadratic::kBeta;
  for (int round = 0;; ++round) {
    const float threshold = std::pow(beta, -1 / (2 - HalfQuadratic::kNorm));
    const F inverse = ratio(splat(1), fit.scale);
    F error{}, numerator{}, denominator{};
    for (int j = 0; j < E::kLeaf; ++j) {
      const F level = nearest_level<E>((x[j] - fit.offset) * inverse), value = fit.scale * level;
      const F e = x[j] - (value + fit.offset);
      error += magnitude(e);
      const F target = x[j] - spared_error(e, beta, threshold);
      if constexpr (kScale)
        numerator += level * target, denominator += level * level;
      else
        numerator += target - value;
    }
    const I better = error < best_error;
    best_error = better ? error : best_error;
    best.scale = better ? fit.scale : best.scale;
    best.offset = better ? fit.offset : best.offset;
    if (round == HalfQuadratic::kIterations) return best;
    if constexpr (kScale)
      fit.scale = ratio(numerator, denominator);
    else
      fit.offset = numerator / static_cast<float>(E::kLeaf);
    if constexpr (E::kOffset == Offset::subtracted) fit.offset = lower(fit.offset, F{});
    beta *= HalfQuadratic::kKappa;
  }
}

template <class E>
CARAT_LANES Solution<E> half_quadratic_solution(const Strip<E, true>& s) {
  LeafFit fits[E::kLeaves];
  for (int i = 0; i < E::kLeaves; ++i) fits[i] = half_quadratic_fit<E>(s.x + i * E::kLeaf);
  if constexpr (kSharedScale<E>) {
    F sum{};
    for (const LeafFit& fit : fits) sum += magnitude(fit.scale);
    for (LeafFit& fit : fits) fit.scale = sum / static_cast<float>(E::kLeaves);
  }
  Solution<E> p = stored_solution<E>(fits);
  if constexpr (E::kOwnScales) {
    // Such scales lie far apart: which of those beside the fit is best is seen by trying them.
    for (int i = 0; i < E::kLeaves; ++i) {
      using Scales = OwnScales<typename E::OwnScale>;
      const F* x = s.x + i * E::kLeaf;
      const F fitted = p.scale[i];
      F best = splat(std::numeric_limits<float>::infinity());
      const auto consider = [&](F scale) __attribute__((always_inline)) {
        const F inverse = ratio(splat(1), scale);
        F error{};
        for (int j = 0; j < E::kLeaf; ++j)
          error += magnitude(x[j] - scale * nearest_level<E>(x[j] * inverse));
        p.scale[i] = error < best ? scale : p.scale[i];
        best = error < best ? error : best;
      };
      consider(fitted);
      consider(Scales::nearest(magnitude(signed_peak<E>(x))));
      consider(Scales::stepped(fitted, 1));
      consider(Scales::stepped(fitted, -1));
    }
  }
  return p;
}

}  // namespace
}  // namespace carat
