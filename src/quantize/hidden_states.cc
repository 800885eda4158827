#include "quantize/hidden_states.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/engine.h"
#include "score/divergence.h"

namespace carat {
namespace {

/// kl[r] for rows of logits of both.
void compare_rows(const Context& context, const KernelTable& kernels, const float* reference,
                  const LogSumExp* known, const float* candidate, int64_t rows, int64_t vocabulary,
                  double* kl) {
  context.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* p = reference + r * vocabulary;
      const float* q = candidate + r * vocabulary;
      const LogSumExp sum_p = known ? known[r] : log_sum_exp(kernels, p, vocabulary);
      kl[r] = divergence(kernels, p, sum_p, q, log_sum_exp(kernels, q, vocabulary), vocabulary);
    }
  });
}

Status check_finite(std::span<const double> kl) {
  if (std::ranges::all_of(kl, [](double x) { return std::isfinite(x); })) return {};
  return bad_data(
      "the calibration text gives logits that are not finite; the model is damaged or its values overflow");
}

}  // namespace

Status Sequences::embed(const Context& context, const Weights& weights, float* x) {
  return passes_.each(context, scratch_, [&](const SequencePasses::Pass& pass) -> Status {
    carat::embed(context.pool, weights, pass.segments, x + pass.first * config_.width);
    return {};
  });
}

Status Sequences::through(const Context& context, const Model& model, const LayerWeights& w, int64_t l,
                          float* x, float* before_experts) {
  return passes_.each(context, scratch_, [&](const SequencePasses::Pass& pass) -> Status {
    const int64_t at = pass.first * config_.width;
    if (!before_experts || !config_.is_mixture(l)) {
      forward_layer(context.pool, model, w, l, pass.segments, false, x + at, scratch_);
      return {};
    }
    layer_attention(context.pool, model, w, l, pass.segments, false, x + at, scratch_);
    layer_attention_output(context.pool, model, w, l, pass.rows, x + at, scratch_);
    std::memcpy(before_experts + at, x + at, static_cast<size_t>(pass.rows * config_.width) * sizeof(float));
    layer_experts(context.pool, model, w, l, pass.rows, x + at, scratch_);
    return {};
  });
}

std::vector<float> scored_states(const Context& context, const Model& model, const Sequences& sequences,
                                 const ScoredPositions& positions, const float* x) {
  const int64_t width = model.weights.config.width, each = positions.end - positions.first;
  std::vector<float> states(static_cast<size_t>(positions.of(sequences) * width));
  for (int64_t i = 0; i < sequences.count(); ++i)
    std::memcpy(states.data() + i * each * width, x + (i * sequences.length() + positions.first) * width,
                static_cast<size_t>(each * width) * sizeof(float));
  final_norm(context.pool, model, states.data(), positions.of(sequences), states.data());
  return states;
}

Result<std::vector<double>> divergences(const Context& context, const Model& reference,
                                        const float* reference_states, const Model& candidate,
                                        const float* candidate_states, int64_t rows) {
  const int64_t vocabulary = reference.weights.config.vocabulary, width = reference.weights.config.width;
  const int64_t slab = logit_slab_rows(vocabulary);
  std::vector<float> p(static_cast<size_t>(slab * vocabulary)), q(p.size());
  std::vector<double> kl(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; row += slab) {
    CARAT_DO(context.check());
    const int64_t n = std::min(slab, rows - row);
    output_logits(context.pool, reference, reference_states + row * width, n, p.data());
    output_logits(context.pool, candidate, candidate_states + row * width, n, q.data());
    compare_rows(context, reference.kernels, p.data(), nullptr, q.data(), n, vocabulary, kl.data() + row);
  }
  CARAT_DO(check_finite(kl));
  return kl;
}

ReferenceLogits::ReferenceLogits(const Context& context, const Model& reference, const float* states,
                                 int64_t rows)
    : rows_(rows),
      logits_(static_cast<size_t>(rows * reference.weights.config.vocabulary)),
      sums_(static_cast<size_t>(rows)) {
  const int64_t vocabulary = reference.weights.config.vocabulary;
  output_logits(context.pool, reference, states, rows, logits_.data());
  context.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r)
      sums_[static_cast<size_t>(r)] =
          log_sum_exp(reference.kernels, logits_.data() + r * vocabulary, vocabulary);
  });
}

Result<double> ReferenceLogits::mean_divergence(const Context& context, const Model& candidate,
                                                const float* states) const {
  const int64_t vocabulary = candidate.weights.config.vocabulary, width = candidate.weights.config.width;
  const int64_t slab = logit_slab_rows(vocabulary);
  std::vector<float> q(static_cast<size_t>(slab * vocabulary));
  std::vector<double> kl(static_cast<size_t>(rows_));
  for (int64_t row = 0; row < rows_; row += slab) {
    CARAT_DO(context.check());
    const int64_t n = std::min(slab, rows_ - row);
    output_logits(context.pool, candidate, states + row * width, n, q.data());
    compare_rows(context, candidate.kernels, logits_.data() + row * vocabulary, sums_.data() + row, q.data(),
                 n, vocabulary, kl.data() + row);
  }
  CARAT_DO(check_finite(kl));
  return std::accumulate(kl.begin(), kl.end(), 0.0) / static_cast<double>(rows_);
}

}  // namespace carat
