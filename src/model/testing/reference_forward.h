// The forward pass written down from its definition in double precision, every token against all before it,
// no cache, no chunks: what the engine is tested against. Only tests include this.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "arch/model_config.h"
#include "base/half.h"
#include "containers/checkpoint.h"

namespace carat::testing {

class ReferenceForward {
 public:
  explicit ReferenceForward(const Checkpoint& c) : config_(*read_model_config(c)) {
    for (const Tensor& t : c.tensors) tensors_[t.name] = *t.read_all();
  }

  /// Logits [tokens][vocabulary].
  std::vector<std::vector<double>> logits(const std::vector<int32_t>& tokens) const {
    const ModelConfig& c = config_;
    std::vector<Row> x;
    for (int32_t t : tokens) {
      const auto& e = at("token_embd.weight");
      x.emplace_back(e.begin() + t * c.width, e.begin() + (t + 1) * c.width);
    }
    for (int64_t l = 0; l < c.layers; ++l) {
      const std::string b = "blk." + std::to_string(l) + ".";
      std::vector<Row> q, k, v;
      for (size_t t = 0; t < x.size(); ++t) {
        const Row h = norm(x[t], at(b + "attn_norm.weight"));
        q.push_back(heads(product(b + "attn_q", h), c.heads, b + "attn_q_norm.weight", t));
        k.push_back(as_cached(heads(product(b + "attn_k", h), c.kv_heads, b + "attn_k_norm.weight", t)));
        v.push_back(as_cached(product(b + "attn_v", h)));
      }
      for (size_t t = 0; t < x.size(); ++t) {
        add(x[t], product(b + "attn_output", attend(q[t], k, v, t)));
        const Row h = norm(x[t], at(b + "ffn_norm.weight"));
        Row gate = product(b + "ffn_gate", h);
        const Row up = product(b + "ffn_up", h);
        for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
        add(x[t], product(b + "ffn_down", gate));
      }
    }
    std::vector<Row> out;
    for (const Row& r : x) {
      const Row h = norm(r, at("output_norm.weight"));
      out.push_back(product(tensors_.contains("output.weight") ? "output" : "token_embd", h));
    }
    return out;
  }

 private:
  using Row = std::vector<double>;

  const std::vector<float>& at(const std::string& name) const { return tensors_.at(name); }

  static void add(Row& x, const Row& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  /// NAME.weight times x, plus NAME.bias if there is one.
  Row product(const std::string& name, const Row& x) const {
    const auto& w = at(name + ".weight");
    Row y(w.size() / x.size());
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t i = 0; i < x.size(); ++i) y[r] += w[r * x.size() + i] * x[i];
    }
    if (const auto bias = tensors_.find(name + ".bias"); bias != tensors_.end()) {
      for (size_t r = 0; r < y.size(); ++r) y[r] += bias->second[r];
    }
    return y;
  }

  Row norm(const Row& x, const std::vector<float>& gain) const {
    double squares = 0;
    for (double v : x) squares += v * v;
    Row y(x.size());
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + config_.norm_epsilon);
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * gain[i];
    return y;
  }

  /// Norm (where the family has one) and rotation of each head.
  Row heads(Row x, int count, const std::string& norm_name, size_t position) const {
    const int d = config_.head_dim, half = config_.rotary_dim / 2;
    std::vector<float> cos(half), sin(half);
    rope_row(config_, static_cast<int64_t>(position), cos.data(), sin.data());
    for (int h = 0; h < count; ++h) {
      Row head(x.begin() + h * d, x.begin() + (h + 1) * d);
      if (config_.qk_norm) head = norm(head, at(norm_name));
      for (int i = 0; i < half; ++i) {
        const int a = config_.rope_interleaved ? 2 * i : i;
        const int b = config_.rope_interleaved ? 2 * i + 1 : i + half;
        const double first = head[a], second = head[b];
        head[a] = first * cos[i] - second * sin[i];
        head[b] = first * sin[i] + second * cos[i];
      }
      std::copy(head.begin(), head.end(), x.begin() + h * d);
    }
    return x;
  }

  /// Keys and values are kept in f16: part of the definition, not an error of the engine.
  static Row as_cached(Row x) {
    for (double& v : x) v = f16_to_float(float_to_f16(static_cast<float>(v)));
    return x;
  }

  Row attend(const Row& q, const std::vector<Row>& k, const std::vector<Row>& v, size_t t) const {
    const int d = config_.head_dim;
    const size_t window = static_cast<size_t>(config_.sliding_window);
    const size_t from = window > 0 && t + 1 > window ? t + 1 - window : 0;
    Row out(q.size());
    for (int h = 0; h < config_.heads; ++h) {
      const int g = h / (config_.heads / config_.kv_heads);
      Row p;
      double total = 0;
      for (size_t j = from; j <= t; ++j) {
        double dot = 0;
        for (int i = 0; i < d; ++i) dot += q[h * d + i] * k[j][g * d + i];
        p.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
        total += p.back();
      }
      for (size_t j = from; j <= t; ++j) {
        for (int i = 0; i < d; ++i) out[h * d + i] += p[j - from] / total * v[j][g * d + i];
      }
    }
    return out;
  }

  ModelConfig config_;
  std::map<std::string, std::vector<float>> tensors_;
};

}  // namespace carat::testing
