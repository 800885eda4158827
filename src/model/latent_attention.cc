#include "model/latent_attention.h"

#include <cstring>

#include "model/laps.h"
#include "model/products.h"
#include "model/rows.h"

namespace carat {
namespace {

void at_least(std::vector<float>& v, int64_t size) {
  if (static_cast<int64_t>(v.size()) < size) v.resize(static_cast<size_t>(size));
}

void copy(const float* from, int64_t n, float* to) {
  std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
}

/// [key | nothing], n numbers in all
void pad(const float* from, int64_t count, int64_t n, float* to) {
  copy(from, count, to);
  std::fill(to + count, to + n, 0.0f);
}

/// Shows the tap, where there is one, `columns` numbers of each head in x[n, heads, stride].
void show_heads(ThreadPool& pool, const Model& model, int64_t layer, LinearInput input, const float* x,
                int64_t n, int64_t stride, int64_t columns, LatentScratch& s) {
  if (!model.tap) return;
  const int64_t heads = model.weights.config.heads;
  at_least(s.shown, n * columns);
  for (int64_t head = 0; head < heads; ++head) {
    over_tokens(pool, n, columns, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t)
        copy(x + (t * heads + head) * stride, columns, s.shown.data() + t * columns);
    });
    model.tap->input({layer, input, head}, s.shown.data(), n, columns);
  }
}

}  // namespace

void latent_projections(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l, int64_t n,
                        const float* h, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  const LatentConfig& m = c.latent;
  const KernelTable& kt = model.kernels;
  LatentScratch& x = s.latent;
  const int64_t rotary = c.rotary_dim, half = rotary / 2, query = m.plain + rotary, pair = m.rank + rotary;
  const int64_t q_width = int64_t{c.heads} * c.head_dim, kv_width = int64_t{c.kv_heads} * c.head_dim;
  const int64_t expanded = c.heads * (m.plain + m.value);
  at_least(x.query_latent, n * m.query_rank);
  at_least(x.queries, n * c.heads * query);
  at_least(x.pairs, n * pair);
  at_least(x.latent, n * m.rank);
  if (!m.absorbed) at_least(x.expanded, n * expanded);
  Laps laps(model.profile);

  if (m.query_rank > 0) {
    const Product latent[] = {{w.q_latent, x.query_latent.data(), m.query_rank},
                              {w.kv_latent, x.pairs.data(), pair}};
    multiply(pool, model, latent, h, c.width, n);
    laps.product("latent q, k, v", model.scheme, latent, n);
    over_tokens(pool, n, m.query_rank, [&](int64_t first, int64_t count) {
      float* part = x.query_latent.data() + first * m.query_rank;
      rms_norm(kt, part, w.q_latent_norm.data(), c.norm_epsilon, count, m.query_rank, part);
    });
    show_input(model, l, LinearInput::query_latent, x.query_latent.data(), n);
    const Product queries[] = {{w.q, x.queries.data(), c.heads * query}};
    multiply(pool, model, queries, x.query_latent.data(), m.query_rank, n);
    laps.product("q", model.scheme, queries, n);
  } else {
    const Product both[] = {{w.q, x.queries.data(), c.heads * query}, {w.kv_latent, x.pairs.data(), pair}};
    multiply(pool, model, both, h, c.width, n);
    laps.product("q, latent k, v", model.scheme, both, n);
  }
  over_tokens(pool, n, c.heads * query + pair, [&](int64_t first, int64_t count) {
    const float* cos = s.cos.data() + first * half;
    const float* sin = s.sin.data() + first * half;
    rope(kt, x.queries.data() + first * c.heads * query + m.plain, c.heads * query, count, c.heads,
         static_cast<int>(query), c.rotary_dim, cos, sin, c.rope_interleaved);
    rope(kt, x.pairs.data() + first * pair + m.rank, pair, count, 1, c.rotary_dim, c.rotary_dim, cos, sin,
         c.rope_interleaved);
    for (int64_t t = first; t < first + count; ++t)
      rms_norm(kt, x.pairs.data() + t * pair, w.kv_latent_norm.data(), c.norm_epsilon, 1, m.rank,
               x.latent.data() + t * m.rank);
  });
  laps.mark("norm, rope");

  if (m.absorbed) {
    show_heads(pool, model, l, LinearInput::key_heads, x.queries.data(), n, query, m.plain, x);
    for (int64_t head = 0; head < c.heads; ++head) {
      const Product key[] = {{one_of(w.k_expansion, head, c.heads), s.q.data() + head * c.head_dim, q_width}};
      multiply(pool, model, key, x.queries.data() + head * query, c.heads * query, n);
      laps.product("k expansion", model.scheme, key, n);
    }
    over_tokens(pool, n, q_width, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t) {
        for (int64_t head = 0; head < c.heads; ++head)
          copy(x.queries.data() + (t * c.heads + head) * query + m.plain, rotary,
               s.q.data() + t * q_width + head * c.head_dim + m.rank);
        copy(x.latent.data() + t * m.rank, m.rank, s.k.data() + t * kv_width);
        copy(x.pairs.data() + t * pair + m.rank, rotary, s.k.data() + t * kv_width + m.rank);
        pad(x.latent.data() + t * m.rank, m.rank, kv_width, s.v.data() + t * kv_width);
      }
    });
    laps.mark("arrange");
    return;
  }
  show_input(model, l, LinearInput::latent, x.latent.data(), n);
  const Product expansion[] = {{w.kv_expansion, x.expanded.data(), expanded}};
  multiply(pool, model, expansion, x.latent.data(), m.rank, n);
  laps.product("k, v expansion", model.scheme, expansion, n);
  over_tokens(pool, n, q_width, [&](int64_t first, int64_t count) {
    copy(x.queries.data() + first * q_width, count * q_width, s.q.data() + first * q_width);
    for (int64_t t = first; t < first + count; ++t)
      for (int64_t head = 0; head < c.heads; ++head) {
        const float* both = x.expanded.data() + t * expanded + head * (m.plain + m.value);
        float* key = s.k.data() + t * kv_width + head * c.head_dim;
        copy(both, m.plain, key);
        copy(x.pairs.data() + t * pair + m.rank, rotary, key + m.plain);
        pad(both + m.plain, m.value, c.head_dim, s.v.data() + t * kv_width + head * c.head_dim);
      }
  });
  laps.mark("arrange");
}

void latent_values(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l, int64_t rows,
                   ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  const LatentConfig& m = c.latent;
  const int64_t q_width = int64_t{c.heads} * c.head_dim;
  std::vector<float>& out = s.latent.values;
  at_least(out, static_cast<int64_t>(s.attended.size()));
  Laps laps(model.profile);
  if (m.absorbed) {
    show_heads(pool, model, l, LinearInput::value_heads, s.attended.data(), rows, c.head_dim, m.rank,
               s.latent);
    for (int64_t head = 0; head < c.heads; ++head) {
      const Product value[] = {
          {one_of(w.v_expansion, head, c.heads), out.data() + head * m.value, c.heads * m.value}};
      multiply(pool, model, value, s.attended.data() + head * c.head_dim, q_width, rows);
      laps.product("v expansion", model.scheme, value, rows);
    }
  } else {
    over_tokens(pool, rows, q_width, [&](int64_t first, int64_t count) {
      for (int64_t i = first * c.heads; i < (first + count) * c.heads; ++i)
        copy(s.attended.data() + i * c.head_dim, m.value, out.data() + i * m.value);
    });
    laps.mark("arrange");
  }
  s.attended.swap(out);
}

}  // namespace carat
