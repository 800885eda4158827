// The feed-forward half of a layer.
#include "model/forward.h"
#include "model/laps.h"
#include "model/products.h"
#include "model/rows.h"

namespace carat {

void layer_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l, int64_t rows,
                 const float* x, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  const KernelTable& kt = model.kernels;
  Laps laps(model.profile);
  const float* h = normed(pool, model, w.feed_forward_norm, rows, x, s);  // [rows, width]
  laps.mark("norm");
  show_input(model, l, LinearInput::feed_forward, h, rows);
  if (!c.gated) {
    const Product up[] = {{w.up, s.gate.data(), c.feed_forward}};
    multiply(pool, model, up, h, c.width, rows);
    laps.product("up", model.scheme, up, rows);
    over_tokens(pool, rows, 2 * c.feed_forward, [&](int64_t first, int64_t count) {
      float* part = s.gate.data() + first * c.feed_forward;
      if (!w.up_bias.empty()) add_bias(kt, part, w.up_bias.data(), count, c.feed_forward);
      gelu(kt, part, count * c.feed_forward);
    });
    laps.mark("gelu");
    return;
  }
  // gate and up: [rows, feed_forward]
  const Product gate_up[] = {{w.gate, s.gate.data(), c.feed_forward}, {w.up, s.up.data(), c.feed_forward}};
  multiply(pool, model, gate_up, h, c.width, rows);
  laps.product("gate, up", model.scheme, gate_up, rows);
  over_tokens(pool, rows, 2 * c.feed_forward, [&](int64_t first, int64_t count) {
    const int64_t at = first * c.feed_forward;
    const auto gate_mul = c.gate == Gate::gelu ? &gelu_mul : &silu_mul;
    gate_mul(kt, s.gate.data() + at, s.up.data() + at, count * c.feed_forward);
  });
  laps.mark("gate");
}

void layer_down(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t l, int64_t rows,
                float* x, ForwardScratch& s) {
  const ModelConfig& c = model.weights.config;
  Laps laps(model.profile);
  show_input(model, l, LinearInput::down, s.gate.data(), rows);
  const Product down[] = {{w.down, s.h.data(), c.width}};
  multiply(pool, model, down, s.gate.data(), c.feed_forward, rows);
  laps.product("down", model.scheme, down, rows);
  add_rows(pool, model, w.down_bias, w.post_feed_forward_norm, x, s.h.data(), rows);
  laps.mark("add");
}

}  // namespace carat
