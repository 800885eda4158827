#include "model/forward.h"

#include "model/laps.h"
#include "model/products.h"
#include "model/rows.h"

namespace carat {
namespace {

void grow(const ModelConfig& c, int64_t n, ForwardScratch& s) {
  const auto at_least = [](std::vector<float>& v, int64_t size) {
    if (static_cast<int64_t>(v.size()) < size) v.resize(size);
  };
  at_least(s.x, n * c.width);
  at_least(s.h, n * c.width);
  at_least(s.q, n * c.heads * c.head_dim);
  at_least(s.k, n * c.kv_heads * c.head_dim);
  at_least(s.v, n * c.kv_heads * c.head_dim);
  at_least(s.attended, n * c.heads * c.head_dim);
  at_least(s.gate, n * c.feed_forward);
  at_least(s.up, n * c.feed_forward);
  at_least(s.cos, n * c.rotary_dim / 2);
  at_least(s.sin, n * c.rotary_dim / 2);
  if (!c.has_local_rope()) return;
  at_least(s.local_cos, n * c.rotary_dim / 2);
  at_least(s.local_sin, n * c.rotary_dim / 2);
}

/// x += the embedding of a position
void add_position(const WeightView& positions, int64_t position, float* x) {
  std::vector<float> row(static_cast<size_t>(positions.columns));
  positions.encoding->decode(positions.data + static_cast<uint64_t>(position) * positions.row_bytes,
                             row.data(), positions.columns);
  for (int64_t i = 0; i < positions.columns; ++i) x[i] += row[i];
}

}  // namespace

void begin_forward(ThreadPool& pool, const ModelConfig& c, std::span<const ForwardSegment> segments,
                   ForwardScratch& s) {
  const int64_t n = count_tokens(segments);
  grow(c, n, s);
  const int64_t half = c.rotary_dim / 2;
  if (half == 0) return;
  over_tokens(pool, n, c.rotary_dim, [&](int64_t begin, int64_t rows) {
    over_segments(segments, begin, rows,
                  [&](const ForwardSegment& g, int64_t first, int64_t count, int64_t row) {
                    for (int64_t t = first; t < first + count; ++t, ++row) {
                      rope_row(c, g.position + t, s.cos.data() + row * half, s.sin.data() + row * half);
                      if (c.has_local_rope())
                        local_rope_row(c, g.position + t, s.local_cos.data() + row * half,
                                       s.local_sin.data() + row * half);
                    }
                  });
  });
}

void embed(ThreadPool& pool, const Weights& weights, std::span<const ForwardSegment> segments, float* x) {
  const int64_t width = weights.config.width;
  const float scale = weights.config.embedding_scale;
  const WeightView& embedding = weights.embedding;
  over_tokens(pool, count_tokens(segments), width, [&](int64_t begin, int64_t rows) {
    over_segments(
        segments, begin, rows, [&](const ForwardSegment& g, int64_t first, int64_t count, int64_t row) {
          for (int64_t t = first; t < first + count; ++t, ++row) {
            float* to = x + row * width;
            embedding.encoding->decode(embedding.data + g.tokens[t] * embedding.row_bytes, to, width);
            if (scale != 1.0f)
              for (int64_t i = 0; i < width; ++i) to[i] *= scale;
            if (weights.positions.data) add_position(weights.positions, g.position + t, to);
          }
        });
  });
}

int64_t forward_layer(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l,
                      std::span<const ForwardSegment> segments, bool kept_only, float* x, ForwardScratch& s) {
  const int64_t rows = layer_attention(pool, model, w, l, segments, kept_only, x, s);
  if (rows == 0) return 0;
  // Where both read the same x, it stays until the feed-forward has read it, too.
  const bool parallel = model.weights.config.parallel;
  if (!parallel) layer_attention_output(pool, model, w, l, rows, x, s);
  if (model.weights.config.is_mixture(l)) {
    layer_experts(pool, model, w, l, rows, x, s);
    return rows;
  }
  layer_gated(pool, model, w, l, rows, x, s);
  layer_down(pool, model, w, l, rows, x, s);
  if (parallel) layer_attention_output(pool, model, w, l, rows, x, s);
  return rows;
}

void final_norm(ThreadPool& pool, const Model& model, const float* x, int64_t rows, float* out) {
  Laps laps(model.profile);
  norm(pool, model, x, model.weights.output_norm, rows, out);
  laps.mark("norm");
}

void forward(ThreadPool& pool, const Model& model, ForwardScratch& s,
             std::span<const ForwardSegment> segments, float* hidden) {
  const ModelConfig& c = model.weights.config;
  Laps laps(model.profile);
  begin_forward(pool, c, segments, s);
  embed(pool, model.weights, segments, s.x.data());
  laps.mark("embed");
  int64_t rows = 0;
  for (int64_t l = 0; l < c.layers; ++l) {
    // The last layer only matters for the tokens whose hidden states are wanted.
    const bool kept_only = l + 1 == c.layers;
    rows = forward_layer(pool, model, model.weights.layers[l], l, segments, kept_only, s.x.data(), s);
  }
  if (rows > 0) final_norm(pool, model, s.x.data(), rows, hidden);
}

void output_logits(ThreadPool& pool, const Model& model, const float* hidden, int64_t rows, float* logits) {
  const ModelConfig& c = model.weights.config;
  if (model.tap) model.tap->input({0, LinearInput::output}, hidden, rows, c.width);
  const Product target[] = {{model.weights.output, logits, c.vocabulary}};
  Laps laps(model.profile);
  multiply(pool, model, target, hidden, c.width, rows);
  laps.product("output", model.scheme, target, rows);
  if (c.logit_scale == 1.0f && c.logit_softcap == 0.0f) return;
  over_tokens(pool, rows, c.vocabulary, [&](int64_t first, int64_t count) {
    float* part = logits + first * c.vocabulary;
    if (c.logit_scale != 1.0f)
      for (int64_t i = 0; i < count * c.vocabulary; ++i) part[i] *= c.logit_scale;
    if (c.logit_softcap > 0.0f) softcap(model.kernels, part, c.logit_softcap, count * c.vocabulary);
  });
  laps.mark("scale");
}

}  // namespace carat
