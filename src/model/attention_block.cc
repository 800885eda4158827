// The attention half of a layer.
#include <cstring>

#include "model/forward.h"
#include "model/laps.h"
#include "model/latent_attention.h"
#include "model/products.h"
#include "model/rows.h"

namespace carat {
namespace {

/// Moves the rows of kept tokens to the front: [n, width] becomes [kept, width].
void keep_rows(std::span<const ForwardSegment> segments, int64_t width, float* x) {
  float* to = x;
  for (const ForwardSegment& segment : segments) {
    x += static_cast<int64_t>(segment.tokens.size()) * width;  // behind the segment
    std::memmove(to, x - segment.kept * width, segment.kept * width * sizeof(float));
    to += segment.kept * width;
  }
}

/// Attention of layer l for all tokens of each segment, or for its last `kept`: out is [rows, heads,
/// head_dim].
void attend(ThreadPool& pool, const Model& model, const LayerWeights& w, ForwardScratch& s,
            std::span<const ForwardSegment> segments, int64_t l, bool kept_only) {
  const ModelConfig& c = model.weights.config;
  const int64_t q_width = int64_t{c.heads} * c.head_dim;
  s.attend.clear();
  const float* q = s.q.data();
  float* out = s.attended.data();
  for (const ForwardSegment& segment : segments) {
    const int64_t n = static_cast<int64_t>(segment.tokens.size());
    const int64_t rows = kept_only ? segment.kept : n;
    AttentionArgs a;
    a.q = q + (n - rows) * q_width;
    a.out = out;
    a.cache = segment.kv[l].data;
    a.format = segment.kv[l].format;
    a.tokens = rows;
    a.first_position = segment.position + n - rows;
    a.heads = c.heads;
    a.scale = c.attention_scale;
    a.window = c.window_of(l);
    a.softcap = c.attention_softcap;
    if (!w.sinks.empty()) a.sinks = w.sinks.data();
    s.attend.push_back(a);
    q += n * q_width;
    out += rows * q_width;
  }
  attention(model.kernels, pool, s.attend);
}

int64_t count_kept(std::span<const ForwardSegment> segments) {
  int64_t kept = 0;
  for (const ForwardSegment& segment : segments) kept += segment.kept;
  return kept;
}

}  // namespace

int64_t layer_attention(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l,
                        std::span<const ForwardSegment> segments, bool kept_only, float* x,
                        ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  const KernelTable& kt = model.kernels;
  const int64_t q_width = int64_t{c.heads} * c.head_dim;
  const int64_t kv_width = int64_t{c.kv_heads} * c.head_dim;
  const int64_t half = c.rotary_dim / 2;
  const int64_t n = count_tokens(segments);
  const bool local = c.has_local_rope() && c.window_of(l) > 0;
  Laps laps(model.profile);

  const float* h = normed(pool, model, w.attention_norm, n, x, s);  // [n, width]
  laps.mark("norm");
  show_input(model, l, LinearInput::attention, h, n);
  // q: [n, heads, head_dim], k and v: [n, kv_heads, head_dim]
  const bool latent = c.latent.rank > 0;
  if (latent) {
    latent_projections(pool, model, w, l, n, h, s);
  } else {
    const Product qkv[] = {
        {w.q, s.q.data(), q_width}, {w.k, s.k.data(), kv_width}, {w.v, s.v.data(), kv_width}};
    multiply(pool, model, qkv, h, c.width, n);
    laps.product("q, k, v", model.scheme, qkv, n);
  }
  over_tokens(pool, n, q_width + 2 * kv_width, [&](int64_t begin, int64_t rows) {
    float* q = s.q.data() + begin * q_width;
    float* k = s.k.data() + begin * kv_width;
    float* v = s.v.data() + begin * kv_width;
    if (!w.q_bias.empty()) {
      add_bias(kt, q, w.q_bias.data(), rows, q_width);
      add_bias(kt, k, w.k_bias.data(), rows, kv_width);
      add_bias(kt, v, w.v_bias.data(), rows, kv_width);
    }
    if (c.qk_norm) {
      const auto q_size = static_cast<int64_t>(w.q_norm.size()),
                 k_size = static_cast<int64_t>(w.k_norm.size());
      rms_norm(kt, q, w.q_norm.data(), c.norm_epsilon, rows * q_width / q_size, q_size, q);
      rms_norm(kt, k, w.k_norm.data(), c.norm_epsilon, rows * kv_width / k_size, k_size, k);
    }
    if (c.rotary_dim > 0 && !latent) {
      const float* cos = (local ? s.local_cos : s.cos).data() + begin * half;
      const float* sin = (local ? s.local_sin : s.sin).data() + begin * half;
      rope(kt, q, q_width, rows, c.heads, c.head_dim, c.rotary_dim, cos, sin, c.rope_interleaved);
      rope(kt, k, kv_width, rows, c.kv_heads, c.head_dim, c.rotary_dim, cos, sin, c.rope_interleaved);
    }
    over_segments(segments, begin, rows,
                  [&](const ForwardSegment& g, int64_t first, int64_t count, int64_t row) {
                    append_kv(kt, g.kv[l].format, g.kv[l].data, g.position + first, count,
                              s.k.data() + row * kv_width, s.v.data() + row * kv_width);
                  });
  });
  laps.mark("rope, append");

  const int64_t rows = kept_only ? count_kept(segments) : n;
  if (rows == 0) return 0;
  if (kept_only) keep_rows(segments, c.width, x);
  attend(pool, model, w, s, segments, l, kept_only);  // attended: [rows, heads, head_dim]
  laps.attention(s.attend);
  if (latent) latent_values(pool, model, w, l, rows, s);  // [rows, heads, value]
  return rows;
}

void layer_attention_output(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l,
                            int64_t rows, float* x, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  Laps laps(model.profile);
  show_input(model, l, LinearInput::attention_output, s.attended.data(), rows);
  const Product attention_output[] = {{w.attention_output, s.h.data(), c.width}};
  multiply(pool, model, attention_output, s.attended.data(), c.mixed_width(), rows);
  laps.product("attention output", model.scheme, attention_output, rows);
  add_rows(pool, model, w.attention_output_bias, w.post_attention_norm, x, s.h.data(), rows);
  laps.mark("add");
}

}  // namespace carat
