#include "model/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/laps.h"

namespace carat {
namespace {

/// body(first, count) over the tokens, each about `elements` numbers of work. Little work is done by the
/// calling thread: handing out less than a few thousand numbers costs more than it saves.
template <class Body>
void over_tokens(ThreadPool& pool, int64_t tokens, int64_t elements, Body&& body) {
  const int64_t grain = std::max<int64_t>(1, 4096 / elements);
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end, int) { body(begin, end - begin); });
}

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
}

/// body(segment, first, count, row) for the pieces of segments that rows [begin, begin + rows) of the call
/// consist of: tokens [first, first + count) of the segment, from that row on.
template <class Body>
void over_segments(std::span<const ForwardSegment> segments, int64_t begin, int64_t rows, Body&& body) {
  int64_t start = 0;  // row of the segment's first token
  for (const ForwardSegment& segment : segments) {
    const int64_t n = static_cast<int64_t>(segment.tokens.size());
    const int64_t first = std::max<int64_t>(0, begin - start);
    const int64_t end = std::min(n, begin + rows - start);
    if (first < end) body(segment, first, end - first, start + first);
    start += n;
  }
}

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
void attend(ThreadPool& pool, const Model& model, ForwardScratch& s, std::span<const ForwardSegment> segments,
            int64_t l, bool kept_only) {
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
    a.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    a.window = c.sliding_window;
    s.attend.push_back(a);
    q += n * q_width;
    out += rows * q_width;
  }
  attention(model.kernels, pool, s.attend);
}

void norm(ThreadPool& pool, const Model& model, const float* x, const std::vector<float>& gain, int64_t rows,
          float* out) {
  const ModelConfig& c = model.weights.config;
  over_tokens(pool, rows, c.width, [&](int64_t first, int64_t count) {
    const int64_t at = first * c.width;
    rms_norm(model.kernels, x + at, gain.data(), c.norm_epsilon, count, c.width, out + at);
  });
}

/// x += h: [rows, width]
void add_rows(ThreadPool& pool, const Model& model, float* x, const float* h, int64_t rows) {
  const int64_t width = model.weights.config.width;
  over_tokens(pool, rows, width, [&](int64_t first, int64_t count) {
    add(model.kernels, x + first * width, h + first * width, count * width);
  });
}

void show(const Model& model, int64_t layer, LinearInput input, const std::vector<float>& x, int64_t tokens) {
  if (model.tap) model.tap->input(layer, input, x.data(), tokens, input_columns(model.weights.config, input));
}

int64_t count_tokens(std::span<const ForwardSegment> segments) {
  int64_t n = 0;
  for (const ForwardSegment& segment : segments) n += static_cast<int64_t>(segment.tokens.size());
  return n;
}

int64_t count_kept(std::span<const ForwardSegment> segments) {
  int64_t kept = 0;
  for (const ForwardSegment& segment : segments) kept += segment.kept;
  return kept;
}

}  // namespace

void begin_forward(ThreadPool& pool, const ModelConfig& c, std::span<const ForwardSegment> segments,
                   ForwardScratch& s) {
  const int64_t n = count_tokens(segments);
  grow(c, n, s);
  const int64_t half = c.rotary_dim / 2;
  over_tokens(pool, n, c.rotary_dim, [&](int64_t begin, int64_t rows) {
    over_segments(segments, begin, rows,
                  [&](const ForwardSegment& g, int64_t first, int64_t count, int64_t row) {
                    for (int64_t t = first; t < first + count; ++t, ++row)
                      rope_row(c, g.position + t, s.cos.data() + row * half, s.sin.data() + row * half);
                  });
  });
}

void embed(ThreadPool& pool, const Weights& weights, std::span<const ForwardSegment> segments, float* x) {
  const int64_t width = weights.config.width;
  const WeightView& embedding = weights.embedding;
  over_tokens(pool, count_tokens(segments), width, [&](int64_t begin, int64_t rows) {
    over_segments(segments, begin, rows,
                  [&](const ForwardSegment& g, int64_t first, int64_t count, int64_t row) {
                    for (int64_t t = first; t < first + count; ++t, ++row)
                      embedding.encoding->decode(embedding.data + g.tokens[t] * embedding.row_bytes,
                                                 x + row * width, width);
                  });
  });
}

int64_t layer_attention(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l,
                        std::span<const ForwardSegment> segments, bool kept_only, float* x,
                        ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  const KernelTable& kt = model.kernels;
  const int64_t q_width = int64_t{c.heads} * c.head_dim;
  const int64_t kv_width = int64_t{c.kv_heads} * c.head_dim;
  const int64_t half = c.rotary_dim / 2;
  const int64_t n = count_tokens(segments);
  Laps laps(model.profile);

  norm(pool, model, x, w.attention_norm, n, s.h.data());  // h: [n, width]
  laps.mark("norm");
  show(model, l, LinearInput::attention, s.h, n);
  // q: [n, heads, head_dim], k and v: [n, kv_heads, head_dim]
  const MatmulTarget qkv[] = {
      {w.q, s.q.data(), q_width}, {w.k, s.k.data(), kv_width}, {w.v, s.v.data(), kv_width}};
  matmul(kt, pool, model.scheme, qkv, s.h.data(), c.width, n);
  laps.product("q, k, v", model.scheme, qkv, n);
  over_tokens(pool, n, q_width + 2 * kv_width, [&](int64_t begin, int64_t rows) {
    float* q = s.q.data() + begin * q_width;
    float* k = s.k.data() + begin * kv_width;
    float* v = s.v.data() + begin * kv_width;
    if (c.qkv_bias) {
      add_bias(kt, q, w.q_bias.data(), rows, q_width);
      add_bias(kt, k, w.k_bias.data(), rows, kv_width);
      add_bias(kt, v, w.v_bias.data(), rows, kv_width);
    }
    if (c.qk_norm) {
      rms_norm(kt, q, w.q_norm.data(), c.norm_epsilon, rows * c.heads, c.head_dim, q);
      rms_norm(kt, k, w.k_norm.data(), c.norm_epsilon, rows * c.kv_heads, c.head_dim, k);
    }
    const float* cos = s.cos.data() + begin * half;
    const float* sin = s.sin.data() + begin * half;
    rope(kt, q, q_width, rows, c.heads, c.head_dim, c.rotary_dim, cos, sin, c.rope_interleaved);
    rope(kt, k, kv_width, rows, c.kv_heads, c.head_dim, c.rotary_dim, cos, sin, c.rope_interleaved);
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
  attend(pool, model, s, segments, l, kept_only);  // attended: [rows, heads, head_dim]
  laps.attention(s.attend);
  return rows;
}

void layer_attention_output(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l,
                            int64_t rows, float* x, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  Laps laps(model.profile);
  show(model, l, LinearInput::attention_output, s.attended, rows);
  const MatmulTarget attention_output[] = {{w.attention_output, s.h.data(), c.width}};
  matmul(model.kernels, pool, model.scheme, attention_output, s.attended.data(),
         int64_t{c.heads} * c.head_dim, rows);
  laps.product("attention output", model.scheme, attention_output, rows);
  add_rows(pool, model, x, s.h.data(), rows);
  laps.mark("add");
}

void layer_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l, int64_t rows,
                 const float* x, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  Laps laps(model.profile);
  norm(pool, model, x, w.feed_forward_norm, rows, s.h.data());  // h: [rows, width]
  laps.mark("norm");
  show(model, l, LinearInput::feed_forward, s.h, rows);
  // gate and up: [rows, feed_forward]
  const MatmulTarget gate_up[] = {{w.gate, s.gate.data(), c.feed_forward},
                                  {w.up, s.up.data(), c.feed_forward}};
  matmul(model.kernels, pool, model.scheme, gate_up, s.h.data(), c.width, rows);
  laps.product("gate, up", model.scheme, gate_up, rows);
  over_tokens(pool, rows, 2 * c.feed_forward, [&](int64_t first, int64_t count) {
    const int64_t at = first * c.feed_forward;
    silu_mul(model.kernels, s.gate.data() + at, s.up.data() + at, count * c.feed_forward);
  });
  laps.mark("silu");
}

void layer_down(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l, int64_t rows,
                float* x, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  Laps laps(model.profile);
  show(model, l, LinearInput::down, s.gate, rows);
  const MatmulTarget down[] = {{w.down, s.h.data(), c.width}};
  matmul(model.kernels, pool, model.scheme, down, s.gate.data(), c.feed_forward, rows);
  laps.product("down", model.scheme, down, rows);
  add_rows(pool, model, x, s.h.data(), rows);
  laps.mark("add");
}

int64_t forward_layer(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l,
                      std::span<const ForwardSegment> segments, bool kept_only, float* x, ForwardScratch& s) {
  const int64_t rows = layer_attention(pool, model, w, l, segments, kept_only, x, s);
  if (rows == 0) return 0;
  layer_attention_output(pool, model, w, l, rows, x, s);
  layer_gated(pool, model, w, l, rows, x, s);
  layer_down(pool, model, w, l, rows, x, s);
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
  if (model.tap) model.tap->input(0, LinearInput::output, hidden, rows, c.width);
  const MatmulTarget target[] = {{model.weights.output, logits, c.vocabulary}};
  Laps laps(model.profile);
  matmul(model.kernels, pool, model.scheme, target, hidden, c.width, rows);
  laps.product("output", model.scheme, target, rows);
}

}  // namespace carat
