// Measuring what rounding lost. Column j of a row is summed in partial sum j % 8, in double, and the partial
// sums are added in order: eight independent chains on every instruction set, and the same bits from all.
//
// Included inside a target region after search_lanes.h; includes nothing.

namespace carat {
namespace {

constexpr int kPartial = 8;
typedef float F8 __attribute__((vector_size(4 * kPartial)));
typedef int32_t I8 __attribute__((vector_size(4 * kPartial)));
typedef double D8 __attribute__((vector_size(8 * kPartial)));

struct Partial {
  D8 error{}, weight{}, weighted{}, weighted_weight{};
  F8 largest{};
  I8 vanished{};  ///< minus the number of underflows
};

template <bool kFloats, bool kImportance>
CARAT_LANES void measure_some(const float* w, const float* q, const float* importance, Partial& p) {
  F8 a, b;
  std::memcpy(&a, w, sizeof a);
  std::memcpy(&b, q, sizeof b);
  const D8 value = __builtin_convertvector(a, D8);
  const D8 difference = value - __builtin_convertvector(b, D8);
  const D8 square = difference * difference;
  p.error += square;
  p.weight += value * value;
  if constexpr (kImportance) {
    F8 i;
    std::memcpy(&i, importance, sizeof i);
    const D8 counts = __builtin_convertvector(i, D8);
    p.weighted += counts * square;
    p.weighted_weight += counts * (value * value);
  }
  const F8 size = (F8)((I8)(a - b) & 0x7fffffff);
  p.largest = size > p.largest ? size : p.largest;
  if constexpr (kFloats) p.vanished += (a != 0.0f) & (b == 0.0f);
}

/// kClean: weights and results that are not finite are left out, and counted in e.
template <bool kFloats, bool kImportance, bool kClean>
CARAT_LANES Partial measure_all(const float* w, const float* q, int64_t n, const float* importance,
                                RoundingError& e) {
  Partial p;
  int64_t j = 0;
  if constexpr (!kClean)
    for (; j + kPartial <= n; j += kPartial)
      measure_some<kFloats, kImportance>(w + j, q + j, kImportance ? importance + j : nullptr, p);
  for (; j < n; j += kPartial) {
    float clean_w[kPartial]{}, clean_q[kPartial]{}, clean_i[kPartial]{};
    for (int64_t k = 0; k < kPartial && j + k < n; ++k) {
      const bool finite = __builtin_isfinite(w[j + k]), stays = __builtin_isfinite(q[j + k]);
      if (kClean && !finite) ++e.not_finite;
      if (kClean && finite && !stays) ++e.overflows;
      if (kClean && !(finite && stays)) continue;
      clean_w[k] = w[j + k];
      clean_q[k] = q[j + k];
      if constexpr (kImportance) clean_i[k] = importance[j + k];
    }
    measure_some<kFloats, kImportance>(clean_w, clean_q, clean_i, p);
  }
  return p;
}

template <bool kFloats, bool kImportance>
CARAT_LANES void measure_as(const float* w, const float* q, int64_t n, const float* importance,
                            RoundingError& e) {
  Partial p = measure_all<kFloats, kImportance, false>(w, q, n, importance, e);
  // Squares of finite floats do not overflow in double: the sums are finite if and only if all values are.
  double sum = 0;
  for (int k = 0; k < kPartial; ++k) sum += p.error[k] + p.weight[k];
  if (!__builtin_isfinite(sum)) p = measure_all<kFloats, kImportance, true>(w, q, n, importance, e);
  RoundingError row;
  for (int k = 0; k < kPartial; ++k) {
    row.squared_error += p.error[k];
    row.squared_weight += p.weight[k];
    row.weighted_error += kImportance ? p.weighted[k] : p.error[k];
    row.weighted_weight += kImportance ? p.weighted_weight[k] : p.weight[k];
    const auto largest = static_cast<double>(p.largest[k]);
    row.max_error = largest > row.max_error ? largest : row.max_error;
    row.underflows += static_cast<uint64_t>(-p.vanished[k]);
  }
  e.add(row);
}

template <bool kFloats>
void measure_row(const float* w, const float* q, int64_t n, const float* importance, RoundingError& e) {
  if (importance)
    measure_as<kFloats, true>(w, q, n, importance, e);
  else
    measure_as<kFloats, false>(w, q, n, nullptr, e);
}

}  // namespace
}  // namespace carat
