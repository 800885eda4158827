// Tiny models with random weights, in memory: for tests only.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/half.h"
#include "base/random.h"
#include "containers/checkpoint.h"

namespace carat::testing {

/// Rows of a tensor held in memory; not "mapped", so that loading copies them.
class OwnedData final : public TensorData {
 public:
  OwnedData(std::vector<uint8_t> bytes, uint64_t row_bytes)
      : bytes_(std::move(bytes)), row_bytes_(row_bytes) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::memcpy(out, bytes_.data() + first * row_bytes_, count * row_bytes_);
    return {};
  }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t row_bytes_;
};

struct RandomModel {
  std::string architecture = "llama";
  int64_t layers = 2, width = 64, heads = 4, kv_heads = 2, head_dim = 16, feed_forward = 96, vocabulary = 100;
  int64_t context = 256;
  int64_t window = 0;  ///< sliding window; 0 = none
  bool tied = false;
  bool bias = false, qk_norm = false, post_norms = false;
  bool divisors = false;  ///< rope_freqs.weight, as Llama 3 has
  int64_t experts = 0, experts_used = 2, expert_feed_forward = 32;
  int64_t shared_feed_forward = 0;                      ///< of shared experts; 0: none
  std::vector<std::pair<std::string, Value>> metadata;  ///< more keys, e.g. for rope scaling
  const Encoding* encoding = &encoding_f32();           ///< of matrices: F32, F16, BF16 or Q8_0
  float output_gain = 1;                                ///< spread of the logits
  uint64_t seed = 1;
};

/// Nearest Q8_0: blocks of 32 with an f16 scale and int8 codes.
inline std::vector<uint8_t> to_q8_0(const std::vector<float>& x) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < x.size(); i += 32) {
    float largest = 0;
    for (size_t j = i; j < i + 32; ++j) largest = std::max(largest, std::abs(x[j]));
    const uint16_t d = float_to_f16(largest / 127);
    out.push_back(static_cast<uint8_t>(d & 0xff));
    out.push_back(static_cast<uint8_t>(d >> 8));
    for (size_t j = i; j < i + 32; ++j) {
      const float q = largest > 0 ? std::nearbyint(x[j] * 127 / largest) : 0;
      out.push_back(static_cast<uint8_t>(static_cast<int8_t>(q)));
    }
  }
  return out;
}

inline std::vector<uint8_t> encoded(const Encoding& encoding, const std::vector<float>& x) {
  std::vector<uint8_t> out(x.size() * encoding.block_bytes / encoding.block);
  for (size_t i = 0; i < x.size(); ++i) {
    if (&encoding == &encoding_f32()) {
      std::memcpy(out.data() + 4 * i, &x[i], 4);
    } else if (encoding.is_float) {
      const uint16_t h = &encoding == &encoding_f16() ? float_to_f16(x[i]) : float_to_bf16(x[i]);
      std::memcpy(out.data() + 2 * i, &h, 2);
    }
  }
  return encoding.is_float ? out : to_q8_0(x);
}

inline Checkpoint random_model(const RandomModel& m) {
  Checkpoint c;
  c.source = "random " + m.architecture;
  c.container = "gguf";
  const auto key = [&](const char* suffix) { return m.architecture + "." + suffix; };
  const auto number = [&](const char* suffix, int64_t v) {
    c.metadata.set(key(suffix), Value::u32(static_cast<uint32_t>(v)));
  };
  c.metadata.set("general.architecture", Value::string(m.architecture));
  number("block_count", m.layers);
  number("embedding_length", m.width);
  number("feed_forward_length", m.feed_forward);
  number("attention.head_count", m.heads);
  number("attention.head_count_kv", m.kv_heads);
  number("attention.key_length", m.head_dim);
  number("attention.value_length", m.head_dim);
  number("rope.dimension_count", m.head_dim);
  number("context_length", m.context);
  if (m.window > 0) number("attention.sliding_window", m.window);
  c.metadata.set(key("attention.layer_norm_rms_epsilon"), Value::f32(1e-5f));
  if (m.experts > 0) {
    number("expert_count", m.experts);
    number("expert_used_count", m.experts_used);
    number("expert_feed_forward_length", m.expert_feed_forward);
    if (m.shared_feed_forward > 0) number("expert_shared_feed_forward_length", m.shared_feed_forward);
  }
  for (const auto& [name, value] : m.metadata) c.metadata.set(name, value);

  Random random(m.seed);
  const auto add = [&](std::string name, std::vector<int64_t> shape, double mean, double spread,
                       const Encoding& e) {
    Tensor t{std::move(name), std::move(shape), &e, nullptr};
    std::vector<float> x(t.elements());
    for (float& v : x) v = static_cast<float>(mean + spread * random.normal());
    t.data = std::make_shared<OwnedData>(encoded(e, x), t.row_bytes());
    c.tensors.push_back(std::move(t));
  };
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns, double gain = 1) {
    add(name, {rows, columns}, 0, gain / std::sqrt(static_cast<double>(columns)), *m.encoding);
  };
  const auto vector = [&](const std::string& name, int64_t n, double mean, double spread) {
    add(name, {n}, mean, spread, encoding_f32());
  };
  const auto stacked = [&](const std::string& name, int64_t rows, int64_t columns) {
    add(name, {m.experts, rows, columns}, 0, 1 / std::sqrt(static_cast<double>(columns)), *m.encoding);
  };
  const int64_t q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
  add("token_embd.weight", {m.vocabulary, m.width}, 0, 1, *m.encoding);
  if (m.divisors) {
    std::vector<float> x(m.head_dim / 2);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 1 + static_cast<float>(i) * 0.5f;
    Tensor t{"rope_freqs.weight", {m.head_dim / 2}, &encoding_f32(), nullptr};
    t.data = std::make_shared<OwnedData>(encoded(encoding_f32(), x), t.row_bytes());
    c.tensors.push_back(std::move(t));
  }
  for (int64_t i = 0; i < m.layers; ++i) {
    const std::string b = "blk." + std::to_string(i) + ".";
    vector(b + "attn_norm.weight", m.width, 1, 0.2);
    matrix(b + "attn_q.weight", q, m.width, 2);  // sharper attention than uniform
    matrix(b + "attn_k.weight", kv, m.width, 2);
    matrix(b + "attn_v.weight", kv, m.width);
    if (m.bias) {
      vector(b + "attn_q.bias", q, 0, 0.5);
      vector(b + "attn_k.bias", kv, 0, 0.5);
      vector(b + "attn_v.bias", kv, 0, 0.5);
    }
    if (m.qk_norm) {
      vector(b + "attn_q_norm.weight", m.head_dim, 1, 0.2);
      vector(b + "attn_k_norm.weight", m.head_dim, 1, 0.2);
    }
    matrix(b + "attn_output.weight", m.width, q);
    if (m.post_norms) {
      vector(b + "post_attention_norm.weight", m.width, 1, 0.2);
      vector(b + "post_ffw_norm.weight", m.width, 1, 0.2);
    }
    vector(b + "ffn_norm.weight", m.width, 1, 0.2);
    if (m.experts == 0) {
      matrix(b + "ffn_gate.weight", m.feed_forward, m.width);
      matrix(b + "ffn_up.weight", m.feed_forward, m.width);
      matrix(b + "ffn_down.weight", m.width, m.feed_forward);
      continue;
    }
    add(b + "ffn_gate_inp.weight", {m.experts, m.width}, 0, 0.3, encoding_f32());
    stacked(b + "ffn_gate_exps.weight", m.expert_feed_forward, m.width);
    stacked(b + "ffn_up_exps.weight", m.expert_feed_forward, m.width);
    stacked(b + "ffn_down_exps.weight", m.width, m.expert_feed_forward);
    if (m.shared_feed_forward == 0) continue;
    vector(b + "ffn_gate_inp_shexp.weight", m.width, 0, 0.3);
    matrix(b + "ffn_gate_shexp.weight", m.shared_feed_forward, m.width);
    matrix(b + "ffn_up_shexp.weight", m.shared_feed_forward, m.width);
    matrix(b + "ffn_down_shexp.weight", m.width, m.shared_feed_forward);
  }
  vector("output_norm.weight", m.width, 1, 0.2);
  if (!m.tied) matrix("output.weight", m.vocabulary, m.width, m.output_gain);
  (void)c.reindex();
  return c;
}

/// The families and variants that every test of the forward pass goes through.
inline std::vector<RandomModel> model_variants() {
  std::vector<RandomModel> all;
  const auto variant = [&](auto&& change) {
    RandomModel m;
    m.seed = all.size() + 1;
    change(m);
    all.push_back(m);
  };
  variant([](RandomModel&) {});
  variant([](RandomModel& m) { m.tied = true, m.kv_heads = 4, m.bias = true; });
  variant([](RandomModel& m) { m.divisors = true, m.kv_heads = 1; });
  variant([](RandomModel& m) { m.window = 20; });
  variant([](RandomModel& m) {
    m.metadata = {{"llama.rope.scaling.type", Value::string("linear")},
                  {"llama.rope.scaling.factor", Value::f32(4)}};
  });
  variant([](RandomModel& m) {
    m.metadata = {{"llama.rope.scaling.type", Value::string("yarn")},
                  {"llama.rope.scaling.factor", Value::f32(4)},
                  {"llama.rope.scaling.original_context_length", Value::u32(64)}};
  });
  variant([](RandomModel& m) { m.architecture = "qwen2", m.bias = true; });
  variant([](RandomModel& m) { m.architecture = "qwen3", m.qk_norm = true, m.head_dim = 32, m.tied = true; });
  variant([](RandomModel& m) {
    m.architecture = "gemma3", m.qk_norm = m.post_norms = m.tied = true, m.head_dim = 32, m.window = 20;
    m.layers = 7;  // one of them sees everything
    m.metadata = {{"gemma3.rope.freq_base", Value::f32(1e6f)},
                  {"gemma3.rope.scaling.type", Value::string("linear")},
                  {"gemma3.rope.scaling.factor", Value::f32(8)}};
  });
  variant([](RandomModel& m) { m.experts = 8; });
  variant([](RandomModel& m) {
    m.architecture = "qwen2moe", m.bias = true, m.experts = 6, m.experts_used = 3, m.shared_feed_forward = 64;
  });
  variant([](RandomModel& m) {
    m.architecture = "qwen3moe", m.qk_norm = true, m.experts = 5, m.experts_used = 1;
  });
  return all;
}

}  // namespace carat::testing
