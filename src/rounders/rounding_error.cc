#include "rounders/rounding_error.h"

#include <algorithm>
#include <cmath>

namespace carat {
namespace {

/// Column j is summed in partial sum j % kPartial: independent chains of additions, in a fixed order.
constexpr int kPartial = 8;

struct Partial {
  double error[kPartial] = {}, weight[kPartial] = {}, weighted[kPartial] = {};
  float largest[kPartial] = {};
};

template <bool kImportance>
void measure_finite(const float* w, const float* q, int64_t n, const float* importance, Partial& p) {
  for (int64_t j = 0; j < n; j += kPartial)
    for (int k = 0; k < kPartial; ++k) {
      const double value = w[j + k], difference = value - static_cast<double>(q[j + k]);
      const double square = difference * difference;
      p.error[k] += square;
      p.weight[k] += value * value;
      if constexpr (kImportance) p.weighted[k] += static_cast<double>(importance[j + k]) * square;
      const float size = std::fabs(w[j + k] - q[j + k]);
      p.largest[k] = size > p.largest[k] ? size : p.largest[k];
    }
}

bool all_finite(const float* w, const float* q, int64_t n) {
  uint32_t bad = 0;
  for (int64_t j = 0; j < n; ++j) {
    const uint32_t a = std::bit_cast<uint32_t>(w[j]) & 0x7fffffffu,
                   b = std::bit_cast<uint32_t>(q[j]) & 0x7fffffffu;
    bad |= static_cast<uint32_t>(a >= 0x7f800000u) | static_cast<uint32_t>(b >= 0x7f800000u);
  }
  return bad == 0;
}

}  // namespace

void RoundingError::add(const RoundingError& o) {
  squared_error += o.squared_error;
  squared_weight += o.squared_weight;
  weighted_error += o.weighted_error;
  max_error = std::max(max_error, o.max_error);
  underflows += o.underflows;
  overflows += o.overflows;
  not_finite += o.not_finite;
}

void measure(const float* weights, const float* rounded, int64_t n, std::span<const float> importance,
             bool is_float, RoundingError& e) {
  Partial p;
  const float* column_importance = importance.empty() ? nullptr : importance.data();
  constexpr int64_t kPiece = 256;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t size = std::min(kPiece, n - begin);
    const float *w = weights + begin, *q = rounded + begin;
    const float* i = column_importance ? column_importance + begin : nullptr;
    // A piece with something to leave out, or an odd end, goes through copies that hold zeros instead.
    float clean_w[kPiece], clean_q[kPiece], clean_i[kPiece];
    const bool finite = all_finite(w, q, size);
    if (!finite || size % kPartial != 0) {
      for (int64_t j = 0; j < kPiece; ++j) {
        const bool keep = j < size && std::isfinite(w[j]) && std::isfinite(q[j]);
        clean_w[j] = keep ? w[j] : 0.0f;
        clean_q[j] = keep ? q[j] : 0.0f;
        clean_i[j] = keep && i ? i[j] : 0.0f;
        if (j < size && !std::isfinite(w[j]))
          ++e.not_finite;
        else if (j < size && !std::isfinite(q[j]))
          ++e.overflows;
      }
      w = clean_w, q = clean_q, i = i ? clean_i : nullptr;
    }
    if (is_float)
      for (int64_t j = 0; j < size; ++j) e.underflows += w[j] != 0.0f && q[j] == 0.0f;
    const int64_t rounded_up = round_up(size, kPartial);
    if (i)
      measure_finite<true>(w, q, rounded_up, i, p);
    else
      measure_finite<false>(w, q, rounded_up, nullptr, p);
  }
  RoundingError sum;
  for (int k = 0; k < kPartial; ++k) {
    sum.squared_error += p.error[k];
    sum.squared_weight += p.weight[k];
    sum.weighted_error += column_importance ? p.weighted[k] : p.error[k];
    sum.max_error = std::max(sum.max_error, static_cast<double>(p.largest[k]));
  }
  e.add(sum);
}

}  // namespace carat
