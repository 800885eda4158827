// A double-precision forward pass written out, and small models of every family: what tests of transforms
// compare.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "arch/model_config.h"
#include "arch/tiny_model.h"

namespace carat::testing {

using Vector = std::vector<double>;

/// The whole model, straight from the definitions; returns the logits after each token.
class Reference {
 public:
  explicit Reference(const Checkpoint& c) : c_(c), config_(*read_model_config(c)) {}

  std::vector<Vector> logits(const std::vector<int>& tokens) {
    std::vector<Vector> out;
    keys_.assign(config_.layers, {});
    values_.assign(config_.layers, {});
    for (size_t position = 0; position < tokens.size(); ++position) {
      const Vector embedding = matrix("token_embd.weight");
      Vector x(embedding.begin() + tokens[position] * config_.width,
               embedding.begin() + (tokens[position] + 1) * config_.width);
      for (int64_t layer = 0; layer < config_.layers; ++layer) {
        const std::string p = "blk." + std::to_string(layer) + ".";
        add(x, attention(p, layer, static_cast<int64_t>(position), norm(x, p + "attn_norm.weight")));
        const Vector h = norm(x, p + "ffn_norm.weight");
        Vector gate = times(p + "ffn_gate.weight", h);
        const Vector up = times(p + "ffn_up.weight", h);
        for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
        add(x, times(p + "ffn_down.weight", gate));
      }
      const Vector last = norm(x, "output_norm.weight");
      out.push_back(times(config_.tied_embeddings ? "token_embd.weight" : "output.weight", last));
    }
    return out;
  }

 private:
  Vector matrix(const std::string& name) const {
    const auto v = c_.find(name)->read_all();
    return {v->begin(), v->end()};
  }
  static void add(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  Vector times(const std::string& name, const Vector& x) const {
    const Vector w = matrix(name);
    Vector y(w.size() / x.size(), 0.0);
    for (size_t r = 0; r < y.size(); ++r)
      for (size_t j = 0; j < x.size(); ++j) y[r] += w[r * x.size() + j] * x[j];
    return y;
  }
  Vector projection(const std::string& name, const Vector& x) const {
    Vector y = times(name + ".weight", x);
    if (c_.find(name + ".bias")) add(y, matrix(name + ".bias"));
    return y;
  }
  Vector norm(const Vector& x, const std::string& gain) const {
    const Vector g = matrix(gain);
    Vector y(x.size());
    for (size_t at = 0; at < x.size(); at += g.size()) {
      double sum = 0.0;
      for (size_t i = 0; i < g.size(); ++i) sum += x[at + i] * x[at + i];
      const double scale = 1.0 / std::sqrt(sum / static_cast<double>(g.size()) + config_.norm_epsilon);
      for (size_t i = 0; i < g.size(); ++i) y[at + i] = x[at + i] * scale * g[i];
    }
    return y;
  }
  void rotate(Vector& x, int64_t position) const {
    const int half = config_.rotary_dim / 2;
    std::vector<float> cos(half), sin(half);
    rope_row(config_, position, cos.data(), sin.data());
    for (size_t at = 0; at < x.size(); at += config_.head_dim)
      for (int i = 0; i < half; ++i) {
        double& a = x[at + (config_.rope_interleaved ? 2 * i : i)];
        double& b = x[at + (config_.rope_interleaved ? 2 * i + 1 : i + half)];
        const double t = a * cos[i] - b * sin[i];
        b = a * sin[i] + b * cos[i];
        a = t;
      }
  }
  Vector attention(const std::string& p, int64_t layer, int64_t position, const Vector& h) {
    Vector q = projection(p + "attn_q", h), k = projection(p + "attn_k", h);
    if (config_.qk_norm) {
      q = norm(q, p + "attn_q_norm.weight");
      k = norm(k, p + "attn_k_norm.weight");
    }
    rotate(q, position);
    rotate(k, position);
    keys_[layer].push_back(k);
    values_[layer].push_back(projection(p + "attn_v", h));
    const int d = config_.head_dim, group = config_.heads / config_.kv_heads;
    Vector mixed(static_cast<size_t>(config_.heads) * d, 0.0);
    for (int head = 0; head < config_.heads; ++head) {
      Vector weight;
      double total = 0.0;
      for (const Vector& key : keys_[layer]) {
        double dot = 0.0;
        for (int i = 0; i < d; ++i) dot += q[head * d + i] * key[head / group * d + i];
        weight.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
        total += weight.back();
      }
      for (size_t t = 0; t < weight.size(); ++t)
        for (int i = 0; i < d; ++i)
          mixed[head * d + i] += weight[t] / total * values_[layer][t][head / group * d + i];
    }
    return times(p + "attn_output.weight", mixed);
  }

  const Checkpoint& c_;
  ModelConfig config_;
  std::vector<std::vector<Vector>> keys_, values_;
};

inline void expect_same_function(const Checkpoint& a, const Checkpoint& b) {
  const auto config = read_model_config(b);
  ASSERT_TRUE(config.ok()) << config.error().message;
  const std::vector<int> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  const auto x = Reference(a).logits(tokens), y = Reference(b).logits(tokens);
  double largest = 0.0, difference = 0.0;
  for (size_t t = 0; t < x.size(); ++t)
    for (size_t i = 0; i < x[t].size(); ++i) {
      largest = std::max(largest, std::abs(x[t][i]));
      difference = std::max(difference, std::abs(x[t][i] - y[t][i]));
    }
  EXPECT_GT(largest, 0.5);  // a model whose logits vanish would prove nothing
  EXPECT_LT(difference, 2e-6 * largest);
}

struct Variant {
  std::string name, architecture;
  TinyShape shape;
};

inline std::vector<Variant> variants() {
  return {{"llama", "llama", {}},
          {"llama tied", "llama", {.tied = true}},
          {"llama biases", "llama", {.biases = true, .divisors = true}},
          {"llama without groups", "llama", {.heads = 3, .kv_heads = 3}},
          {"qwen2", "qwen2", {}},
          {"qwen3", "qwen3", {.tied = true}}};
}

}  // namespace carat::testing
