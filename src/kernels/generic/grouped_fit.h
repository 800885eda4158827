// Choosing the parameters of one group of columns, of any width: from its extremes, by search, by
// half-quadratic splitting.
//
// As in search_fit.h, starting scales are tried with their nearest levels, the best gets a few rounds of
// least squares, and what comes out is measured, as stored, against plain rounding. A group is walked through
// for each candidate: groups may be rows, which no register holds.
//
// Included inside a target region after grouped_levels.h; includes nothing.

namespace carat {
namespace {

struct GroupFit {
  F scale{}, zero{};
};

/// How much the squared error of a group's columns counts, the same in all rows.
struct ColumnWeights {
  const float* w;
  CARAT_ALWAYS_INLINE F operator[](int64_t j) const { return splat(w[j]); }
};
struct EvenColumns {
  CARAT_ALWAYS_INLINE F operator[](int64_t) const { return splat(1); }
};

/// What the file will hold. NF4's scales are rounded all together, when those of the row are known.
template <class E>
CARAT_LANES F stored_group_scale(F scale) {
  if constexpr (IntegerLevels<E>)
    return round_to_f16(scale);
  else
    return magnitude(scale) < 0x1p-100f ? F{} : scale;  // its inverse might be infinite
}

/// The extremes of a group, between which 0 is: every grid has it.
CARAT_LANES Range group_range(const F* x, int64_t n) {
  Range r{};
  for (int64_t j = 0; j < n; ++j) {
    r.low = lower(r.low, x[j]);
    r.high = higher(r.high, x[j]);
  }
  return r;
}

/// Scale and zero point of codes from 0 to the last for `low` to `high`, as stored.
template <class E>
CARAT_LANES GroupFit fit_of_range(F low, F high) {
  GroupFit fit;
  if constexpr (E::kZeroPoint) {
    fit.scale = stored_group_scale<E>((high - low) / static_cast<float>(E::kCodes - 1));
    fit.zero = nearest_integer(clamp(F{} - low * ratio(splat(1), fit.scale), 0.0f, E::kCodes - 1));
  } else {
    fit.scale = stored_group_scale<E>(higher(high, F{} - low) / kPeakLevel<E>);
  }
  return fit;
}

template <class E, class W>
CARAT_LANES F group_error(const F* x, int64_t n, W w, const GroupFit& fit) {
  const LevelRange range = level_range<E>(fit.zero);
  const F inverse = ratio(splat(1), fit.scale);
  F sum[2]{};
  for (int64_t j = 0; j < n; j += 2)
    for (int k = 0; k < 2; ++k) {
      const F e = x[j + k] - fit.scale * nearest_group_level<E>(x[j + k] * inverse, range);
      sum[k] += w[j + k] * e * e;
    }
  return sum[0] + sum[1];
}

/// Judges scales by the gain of the least-squares scale for their levels, xl^2 / ll.
template <class E, class W>
struct GroupSearch {
  const F* x;
  const int64_t n;
  const W w;
  const F unit_inverse;  ///< weights are counted in units, so that sums of squares stay finite
  F best_gain{}, best_xl{}, best_ll = splat(1), best_zero{};

  CARAT_ALWAYS_INLINE void consider(F inverse, F zero) {
    const LevelRange range = level_range<E>(zero);
    F xl[2]{}, ll[2]{};
    for (int64_t j = 0; j < n; j += 2)
      for (int k = 0; k < 2; ++k) {
        const F level = nearest_group_level<E>(x[j + k] * inverse, range), wl = w[j + k] * level;
        xl[k] += wl * (x[j + k] * unit_inverse);
        ll[k] += wl * level;
      }
    const F found_xl = xl[0] + xl[1], found_ll = ll[0] + ll[1], gain = found_xl * found_xl;
    const I better = gain * best_ll > best_gain * found_ll;
    best_gain = better ? gain : best_gain;
    best_xl = better ? found_xl : best_xl;
    best_ll = better ? found_ll : best_ll;
    best_zero = better ? zero : best_zero;
  }
  /// In units.
  CARAT_ALWAYS_INLINE F scale() const { return best_xl / best_ll; }
};

/// Groups this wide hold values that far exceed the rest, and are best drawn in much further.
inline constexpr int64_t kWideGroup = 512;
inline constexpr float kWideFactors[] = {1.25f, 1.6f, 2, 2.5f, 3.2f, 4, 5, 6.5f, 8};

template <class E, class W>
CARAT_LANES GroupFit search_group(const F* x, int64_t n, W w) {
  const Range extremes = group_range(x, n);
  const F peak = higher(extremes.high, F{} - extremes.low), inverse = ratio(splat(1), peak);
  const GroupFit nearest = fit_of_range<E>(extremes.low, extremes.high);
  const I counts = peak > 0x1p-100f;
  GroupSearch<E, W> search{.x = x, .n = n, .w = w, .unit_inverse = counts ? inverse : F{}};
  if constexpr (E::kZeroPoint) {
    const F step = (extremes.high - extremes.low) / static_cast<float>(E::kCodes - 1);
    F best_low{}, best_high{};  // how far the range is drawn in, in steps
    const auto consider = [&](F low, F high) __attribute__((always_inline)) {
      const F before = search.best_gain, before_ll = search.best_ll;
      const GroupFit fit = fit_of_range<E>(extremes.low + low * step, extremes.high - high * step);
      search.consider(ratio(splat(1), fit.scale), fit.zero);
      const I better = search.best_gain * before_ll > before * search.best_ll;
      best_low = better ? low : best_low;
      best_high = better ? high : best_high;
    };
    constexpr float kReach = E::kCodes <= 4 ? 0.4f : 1;
    for (float low : {-0.6f, 0.0f, 0.6f, 1.2f})
      for (float high : {-0.6f, 0.0f, 0.6f, 1.2f}) consider(splat(low * kReach), splat(high * kReach));
    for (float move : {0.35f, 0.35f, 0.18f, 0.09f}) {
      const F low = best_low, high = best_high;
      const float moves[4][2] = {{move, 0}, {-move, 0}, {0, move}, {0, -move}};
      for (const auto& m : moves) consider(low + m[0] * kReach, high + m[1] * kReach);
    }
    if (n >= kWideGroup)
      for (float factor : kWideFactors) {
        const GroupFit fit = fit_of_range<E>(extremes.low / factor, extremes.high / factor);
        search.consider(ratio(splat(1), fit.scale), fit.zero);
      }
    const F scale = search.scale() * peak, zero = search.best_zero;
    for (float move : {-1.0f, 1.0f})
      search.consider(ratio(splat(1), scale), clamp(zero + move, 0.0f, E::kCodes - 1));
  } else if constexpr (IntegerLevels<E>) {
    // The levels on which the peak is put, relative to the lowest, on either side; 8 bits have no use for far
    // ones.
    constexpr bool kFine = E::kBits == 8;
    constexpr float low = E::level(0), from = kFine ? 1.05f : 1.5f, step = kFine ? 0.0125f : 0.0625f;
    constexpr float other = kFine ? 1.05f : 1.4f, other_step = kFine ? 0.0125f : 0.1f;
    for (int i = 0; i < 13; ++i)
      search.consider(((from - step * static_cast<float>(i)) * low) * inverse, F{});
    for (int i = 0; i < 9; ++i)
      search.consider(((other_step * static_cast<float>(i) - other) * low) * inverse, F{});
    if (!kFine && n >= kWideGroup)
      for (float factor : kWideFactors)
        for (float sign : {-1.0f, 1.0f}) search.consider((sign * 1.4f * factor * low) * inverse, F{});
  } else {
    // Scales within a factor of two, and FP8, whose levels repeat with every power of two, needs no others.
    float level = kPeakLevel<E> / (std::is_same_v<E, FP8> ? 1.0f : 0.8f);
    for (int i = 0; i < 16; ++i, level *= 0.957603f) search.consider(level * inverse, F{});
  }
  for (int i = 0; i < 2; ++i) search.consider(ratio(splat(1), search.scale() * peak), search.best_zero);
  const GroupFit found{stored_group_scale<E>(search.scale() * peak), search.best_zero};
  const I better = group_error<E>(x, n, w, found) < group_error<E>(x, n, w, nearest);
  return {better ? found.scale : nearest.scale, better ? found.zero : nearest.zero};
}

/// As half_quadratic_fit: the scale is refined, and the zero point, which stays an integer. What is kept is
/// the round of least squared error: that of least |error| gives up the few large weights of a wide group,
/// and with them the model (half again the divergence of plain rounding).
template <class E>
CARAT_LANES GroupFit half_quadratic_group(const F* x, int64_t n) {
  const Range extremes = group_range(x, n);
  GroupFit fit = fit_of_range<E>(extremes.low, extremes.high), best = fit;
  F best_error = splat(std::numeric_limits<float>::infinity());
  float beta = HalfQuadratic::kBeta;
  for (int round = 0;; ++round) {
    const float threshold = std::pow(beta, -1 / (2 - HalfQuadratic::kNorm));
    const LevelRange range = level_range<E>(fit.zero);
    const F inverse = ratio(splat(1), fit.scale);
    F error{}, numerator{}, denominator{}, shift{};
    for (int64_t j = 0; j < n; ++j) {
      const F level = nearest_group_level<E>(x[j] * inverse, range), e = x[j] - fit.scale * level;
      error += e * e;
      const F target = x[j] - spared_error(e, beta, threshold);
      numerator += level * target, denominator += level * level;
      if constexpr (E::kZeroPoint) shift += level - target * inverse;
    }
    const I better = error < best_error;
    best_error = better ? error : best_error;
    best.scale = better ? fit.scale : best.scale;
    best.zero = better ? fit.zero : best.zero;
    if (round == HalfQuadratic::kIterations) return best;
    if constexpr (E::kZeroPoint)
      fit.zero = nearest_integer(clamp(fit.zero + shift / static_cast<float>(n), 0.0f, E::kCodes - 1));
    fit.scale = stored_group_scale<E>(ratio(numerator, denominator));
    beta *= HalfQuadratic::kKappa;
  }
}

/// One copy of the search for all who need it.
template <class E, class W>
__attribute__((noinline)) GroupFit found_group(const F* x, int64_t n, W w) {
  return search_group<E>(x, n, w);
}

}  // namespace
}  // namespace carat
