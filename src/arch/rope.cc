// Rotary angles. Formulas: RoPE (Su et al. 2021), linear interpolation (Chen et al. 2023), YaRN (Peng et al.
// 2023) in the form ggml computes them:
//
//   frequency of pair i   f_i = base^(-2 i / rotary_dim) / divisor_i
//   linear                f_i / factor
//   yarn                  f_i (1 - m_i) / factor + f_i m_i
//                         m_i = ext_factor * (1 - clamp((i - low) / (high - low), 0, 1))
//                         low, high: pairs that turn beta_fast and beta_slow times over the original context,
//                         rounded down and up unless the model says otherwise; magnitude = attn_factor * (1 +
//                         0.1 ln factor) for factor > 1
//   llama3                divisors from rope_freqs.weight (arch/hf_config.cc computes them from config.json)
//
// In double and rounded once at the end. ggml multiplies floats pair by pair and so drifts by about 1e-6 of
// the angle; at position 10^5 that is visible in the last bits of its cosines, and not something to imitate.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "arch/model_config.h"

namespace carat {
namespace {

/// The (fractional) pair that completes `turns` turns over the original context.
double yarn_pair(const ModelConfig& c, double turns) {
  const double context = static_cast<double>(c.rope_original_context);
  return c.rotary_dim * std::log(context / (turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(static_cast<double>(c.rope_base)));
}

}  // namespace

void rope_row(const ModelConfig& c, int64_t position, float* cos, float* sin) {
  const int pairs = c.rotary_dim / 2;
  const double scale = 1.0 / static_cast<double>(c.rope_factor);
  const double extrapolation = c.rope_scaling == RopeScaling::yarn ? c.yarn_ext_factor : 0.0;
  double magnitude = c.yarn_attention_factor;
  double low = 0.0, high = 1.0;
  if (extrapolation != 0.0) {
    low = yarn_pair(c, c.yarn_beta_fast);
    high = yarn_pair(c, c.yarn_beta_slow);
    if (c.yarn_whole_pairs) low = std::floor(low), high = std::ceil(high);
    low = std::max(0.0, low);
    high = std::min(c.rotary_dim - 1.0, high);
    if (c.rope_factor > 1.0f) magnitude *= 1.0 + 0.1 * std::log(static_cast<double>(c.rope_factor));
  }
  for (int i = 0; i < pairs; ++i) {
    const double divisor = c.rope_divisors.empty() ? 1.0 : c.rope_divisors[i];
    const double angle = static_cast<double>(position) / divisor *
                         std::pow(static_cast<double>(c.rope_base), -2.0 * i / c.rotary_dim);
    double mixed = angle * scale;
    if (extrapolation != 0.0) {
      const double ramp = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
      const double keep = (1.0 - ramp) * extrapolation;
      mixed = mixed * (1.0 - keep) + angle * keep;
    }
    cos[i] = static_cast<float>(std::cos(mixed) * magnitude);
    sin[i] = static_cast<float>(std::sin(mixed) * magnitude);
  }
}

void local_rope_row(const ModelConfig& c, int64_t position, float* cos, float* sin) {
  for (int i = 0; i < c.rotary_dim / 2; ++i) {
    const double angle = static_cast<double>(position) *
                         std::pow(static_cast<double>(c.local_rope_base), -2.0 * i / c.rotary_dim);
    cos[i] = static_cast<float>(std::cos(angle));
    sin[i] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace carat
