#include "model/rows.h"

namespace carat {
namespace {

void norm_rows(const Model& model, const float* x, const NormWeights& w, int64_t rows, float* out) {
  const ModelConfig& c = model.weights.config;
  if (c.norm == NormKind::layer)
    layer_norm(model.kernels, x, w.gain.data(), w.bias.empty() ? nullptr : w.bias.data(), c.norm_epsilon,
               rows, c.width, out);
  else
    rms_norm(model.kernels, x, w.gain.data(), c.norm_epsilon, rows, c.width, out);
}

}  // namespace

int64_t count_tokens(std::span<const ForwardSegment> segments) {
  int64_t n = 0;
  for (const ForwardSegment& segment : segments) n += static_cast<int64_t>(segment.tokens.size());
  return n;
}

void add_rows(ThreadPool& pool, const Model& model, const std::vector<float>& bias, const NormWeights& post,
              float* x, float* h, int64_t rows) {
  const ModelConfig& c = model.weights.config;
  over_tokens(pool, rows, c.width, [&](int64_t first, int64_t count) {
    float* part = h + first * c.width;
    if (!bias.empty()) add_bias(model.kernels, part, bias.data(), count, c.width);
    if (!post.gain.empty()) norm_rows(model, part, post, count, part);
    if (c.residual_scale != 1.0f)
      for (int64_t i = 0; i < count * c.width; ++i) part[i] *= c.residual_scale;
    add(model.kernels, x + first * c.width, part, count * c.width);
  });
}

const float* normed(ThreadPool& pool, const Model& model, const NormWeights& weights, int64_t rows,
                    const float* x, ForwardScratch& s) {
  if (weights.gain.empty()) return x;
  norm(pool, model, x, weights, rows, s.h.data());
  return s.h.data();
}

void show_input(const Model& model, int64_t layer, LinearInput input, const float* x, int64_t tokens) {
  if (model.tap)
    model.tap->input({layer, input}, x, tokens, input_columns(model.weights.config, input, layer));
}

void norm(ThreadPool& pool, const Model& model, const float* x, const NormWeights& weights, int64_t rows,
          float* out) {
  const int64_t width = model.weights.config.width;
  over_tokens(pool, rows, width, [&](int64_t first, int64_t count) {
    norm_rows(model, x + first * width, weights, count, out + first * width);
  });
}

}  // namespace carat
