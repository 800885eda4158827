#include "model/forward.h"

#include <algorithm>
#include <cmath>

namespace carat {
namespace {

/// body(first, count) over the tokens; a few are done by the calling thread, since waking others costs more.
template <class Body>
void over_tokens(ThreadPool& pool, int64_t tokens, Body&& body) {
  constexpr int64_t grain = 8;
  if (tokens <= grain) {
    body(int64_t{0}, tokens);
    return;
  }
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

}  // namespace

void forward(ThreadPool& pool, const Model& model, ForwardScratch& s, const ForwardCall& call,
             float* hidden) {
  const ModelConfig& c = model.weights.config;
  const KernelTable& kt = model.kernels;
  const int64_t n = static_cast<int64_t>(call.tokens.size());
  const int64_t q_width = int64_t{c.heads} * c.head_dim;
  const int64_t kv_width = int64_t{c.kv_heads} * c.head_dim;
  const int64_t half = c.rotary_dim / 2;
  grow(c, n, s);

  const WeightView& embedding = model.weights.embedding;
  over_tokens(pool, n, [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t) {
      const uint8_t* row = embedding.data + call.tokens[t] * embedding.row_bytes;
      embedding.encoding->decode(row, s.x.data() + t * c.width, c.width);  // x: [n, width]
      rope_row(c, call.position + t, s.cos.data() + t * half, s.sin.data() + t * half);
    }
  });

  for (int64_t l = 0; l < c.layers; ++l) {
    const LayerWeights& w = model.weights.layers[l];
    const KvView& kv = call.kv[l];

    // h = norm(x): [n, width]
    over_tokens(pool, n, [&](int64_t first, int64_t count) {
      rms_norm(kt, s.x.data() + first * c.width, w.attention_norm.data(), c.norm_epsilon, count, c.width,
               s.h.data() + first * c.width);
    });
    // q: [n, heads, head_dim], k and v: [n, kv_heads, head_dim]
    const MatmulTarget qkv[] = {
        {w.q, s.q.data(), q_width}, {w.k, s.k.data(), kv_width}, {w.v, s.v.data(), kv_width}};
    matmul(kt, pool, model.scheme, qkv, s.h.data(), c.width, n);
    over_tokens(pool, n, [&](int64_t first, int64_t count) {
      float* q = s.q.data() + first * q_width;
      float* k = s.k.data() + first * kv_width;
      float* v = s.v.data() + first * kv_width;
      if (c.qkv_bias) {
        add_bias(kt, q, w.q_bias.data(), count, q_width);
        add_bias(kt, k, w.k_bias.data(), count, kv_width);
        add_bias(kt, v, w.v_bias.data(), count, kv_width);
      }
      if (c.qk_norm) {
        rms_norm(kt, q, w.q_norm.data(), c.norm_epsilon, count * c.heads, c.head_dim, q);
        rms_norm(kt, k, w.k_norm.data(), c.norm_epsilon, count * c.kv_heads, c.head_dim, k);
      }
      const float* cos = s.cos.data() + first * half;
      const float* sin = s.sin.data() + first * half;
      rope(kt, q, q_width, count, c.heads, c.head_dim, c.rotary_dim, cos, sin, c.rope_interleaved);
      rope(kt, k, kv_width, count, c.kv_heads, c.head_dim, c.rotary_dim, cos, sin, c.rope_interleaved);
      store_f16(kt, k, count * kv_width, kv.k + (call.position + first) * kv_width);
      store_f16(kt, v, count * kv_width, kv.v + (call.position + first) * kv_width);
    });

    // From here on the last layer only matters for the tokens whose hidden states are wanted: rows [a, n).
    const int64_t a = l + 1 < c.layers ? 0 : call.first_kept;
    const int64_t rows = n - a;
    if (rows == 0) return;
    float* x = s.x.data() + a * c.width;
    float* h = s.h.data() + a * c.width;

    // attended: [rows, heads, head_dim]
    AttentionArgs attend;
    attend.q = s.q.data() + a * q_width;
    attend.out = s.attended.data();
    attend.k_cache = kv.k;
    attend.v_cache = kv.v;
    attend.kv_stride = kv_width;
    attend.tokens = rows;
    attend.first_position = call.position + a;
    attend.heads = c.heads;
    attend.kv_heads = c.kv_heads;
    attend.head_dim = c.head_dim;
    attend.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    attend.window = c.sliding_window;
    attention(kt, pool, {&attend, 1});
    const MatmulTarget attention_output[] = {{w.attention_output, h, c.width}};
    matmul(kt, pool, model.scheme, attention_output, s.attended.data(), q_width, rows);

    // x += h; h = norm(x): [rows, width]
    over_tokens(pool, rows, [&](int64_t first, int64_t count) {
      float* xs = x + first * c.width;
      add(kt, xs, h + first * c.width, count * c.width);
      rms_norm(kt, xs, w.feed_forward_norm.data(), c.norm_epsilon, count, c.width, h + first * c.width);
    });
    // gate and up: [rows, feed_forward]
    const MatmulTarget gate_up[] = {{w.gate, s.gate.data(), c.feed_forward},
                                    {w.up, s.up.data(), c.feed_forward}};
    matmul(kt, pool, model.scheme, gate_up, h, c.width, rows);
    over_tokens(pool, rows, [&](int64_t first, int64_t count) {
      const int64_t at = first * c.feed_forward;
      silu_mul(kt, s.gate.data() + at, s.up.data() + at, count * c.feed_forward);
    });
    const MatmulTarget down[] = {{w.down, h, c.width}};
    matmul(kt, pool, model.scheme, down, s.gate.data(), c.feed_forward, rows);
    over_tokens(pool, rows, [&](int64_t first, int64_t count) {
      add(kt, x + first * c.width, h + first * c.width, count * c.width);
    });
  }

  const int64_t rows = n - call.first_kept;
  const float* x = s.x.data() + call.first_kept * c.width;
  over_tokens(pool, rows, [&](int64_t first, int64_t count) {
    rms_norm(kt, x + first * c.width, model.weights.output_norm.data(), c.norm_epsilon, count, c.width,
             hidden + first * c.width);
  });
}

void output_logits(ThreadPool& pool, const Model& model, const float* hidden, int64_t rows, float* logits) {
  const ModelConfig& c = model.weights.config;
  const MatmulTarget target[] = {{model.weights.output, logits, c.vocabulary}};
  matmul(model.kernels, pool, model.scheme, target, hidden, c.width, rows);
}

}  // namespace carat
