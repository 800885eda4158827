// The forward pass written down from its definition in double precision, every token against all before it,
// no cache, no chunks: what the engine is tested against. Only tests include this.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "arch/model_config.h"
#include "base/half.h"
#include "containers/checkpoint.h"

namespace carat::testing {

class ReferenceForward {
 public:
  /// `context` as ModelConfig::use_context() has it.
  explicit ReferenceForward(const Checkpoint& c, int64_t context = 0) : config_(*read_model_config(c)) {
    config_.use_context(context);
    for (const Tensor& t : c.tensors) tensors_[t.name] = *t.read_all();
  }

  /// Logits [tokens][vocabulary].
  std::vector<std::vector<double>> logits(const std::vector<int32_t>& tokens) const {
    const ModelConfig& c = config_;
    std::vector<Row> x;
    for (size_t i = 0; i < tokens.size(); ++i) {
      x.push_back(row("token_embd.weight", tokens[i]));
      for (double& value : x.back()) value *= c.embedding_scale;
      if (has("position_embd.weight")) add(x.back(), row("position_embd.weight", static_cast<int64_t>(i)));
    }
    for (int64_t l = 0; l < c.layers; ++l) {
      const std::string b = "blk." + std::to_string(l) + ".";
      const bool two_norms = has(b + "attn_norm_2.weight");
      std::vector<Row> q, k, v;
      for (size_t t = 0; t < x.size(); ++t) {
        const Row h = normed(x[t], b + (two_norms ? "attn_norm_2" : "attn_norm"));
        if (c.latent.rank > 0) {
          latent_heads(b, h, t, q, k, v);
          continue;
        }
        q.push_back(heads(queries(b, h), c.heads, b + "attn_q_norm.weight", t, l));
        k.push_back(as_cached(heads(keys(b, h), c.kv_heads, b + "attn_k_norm.weight", t, l)));
        v.push_back(as_cached(values(b, h)));
      }
      for (size_t t = 0; t < x.size(); ++t) {
        const Row before = x[t];
        // What others norm attention's output with is gpt-oss's name for the norm before the feed-forward.
        const std::string before_feed_forward =
            c.architecture == "gpt-oss" ? "post_attention_norm" : "ffn_norm";
        Row mixed = product(b + "attn_output", attend(q[t], k, v, t, b, l));
        if (c.architecture != "gpt-oss") mixed = normed(mixed, b + "post_attention_norm");
        add(x[t], scaled(mixed, c.residual_scale));
        const Row h = c.parallel ? normed(before, b + "attn_norm") : normed(x[t], b + before_feed_forward);
        const Row down = normed(c.is_mixture(l) ? mixture(b, h) : product(b + "ffn_down", hidden(b, h)),
                                b + "post_ffw_norm");
        add(x[t], scaled(down, c.residual_scale));
      }
    }
    std::vector<Row> out;
    for (const Row& r : x) {
      out.push_back(product(has("output.weight") ? "output" : "token_embd", normed(r, "output_norm")));
      for (double& value : out.back()) value = capped(value * c.logit_scale, c.logit_softcap);
    }
    return out;
  }

 private:
  using Row = std::vector<double>;

  const std::vector<float>& at(const std::string& name) const { return tensors_.at(name); }

  static void add(Row& x, const Row& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  bool has(const std::string& name) const { return tensors_.contains(name); }

  Row row(const std::string& name, int64_t index) const {
    const auto& all = at(name);
    return {all.begin() + index * config_.width, all.begin() + (index + 1) * config_.width};
  }
  static Row scaled(Row x, double factor) {
    for (double& v : x) v *= factor;
    return x;
  }
  static double capped(double x, double cap) { return cap > 0 ? cap * std::tanh(x / cap) : x; }
  static Row part(const Row& x, int64_t first, int64_t count) {
    return {x.begin() + first, x.begin() + first + count};
  }

  /// Queries, keys and values of all heads, [plain | rotated] and values, whatever the cache holds.
  void latent_heads(const std::string& b, const Row& h, size_t position, std::vector<Row>& q,
                    std::vector<Row>& k, std::vector<Row>& v) const {
    const LatentConfig& m = config_.latent;
    const int64_t rotary = config_.rotary_dim;
    std::vector<float> cos(rotary / 2), sin(rotary / 2);
    rope_row(config_, static_cast<int64_t>(position), cos.data(), sin.data());
    const auto rotate = [&](double* x) {
      for (int64_t i = 0; i < rotary / 2; ++i) {
        const double first = x[2 * i], second = x[2 * i + 1];
        x[2 * i] = first * cos[i] - second * sin[i];
        x[2 * i + 1] = first * sin[i] + second * cos[i];
      }
    };
    Row queries = m.query_rank > 0 ? product(b + "attn_q_b",
                                             norm(product(b + "attn_q_a", h), at(b + "attn_q_a_norm.weight")))
                                   : product(b + "attn_q", h);
    for (int64_t head = 0; head < config_.heads; ++head)
      rotate(queries.data() + head * (m.plain + rotary) + m.plain);
    const Row both = product(b + "attn_kv_a_mqa", h);
    Row latent = norm(part(both, 0, m.rank), at(b + "attn_kv_a_norm.weight"));
    Row rotated = part(both, m.rank, rotary);
    rotate(rotated.data());
    if (m.absorbed) latent = as_cached(latent);
    rotated = as_cached(rotated);
    Row keys, values;
    const auto heads = static_cast<size_t>(config_.heads);
    for (size_t head = 0; head < heads; ++head) {
      Row key(static_cast<size_t>(m.plain)), value;
      if (m.absorbed) {
        const float* w = at(b + "attn_k_b.weight").data() + head * static_cast<size_t>(m.rank * m.plain);
        for (int64_t r = 0; r < m.rank; ++r)
          for (int64_t i = 0; i < m.plain; ++i) key[i] += w[r * m.plain + i] * latent[r];
        value = product(b + "attn_v_b", latent, head, heads);
      } else {
        const Row expanded = product(b + "attn_kv_b", latent, head, heads);
        key = as_cached(part(expanded, 0, m.plain));
        value = as_cached(part(expanded, m.plain, m.value));
      }
      keys.insert(keys.end(), key.begin(), key.end());
      keys.insert(keys.end(), rotated.begin(), rotated.end());
      values.insert(values.end(), value.begin(), value.end());
    }
    q.push_back(std::move(queries));
    k.push_back(std::move(keys));
    v.push_back(std::move(values));
  }

  Row queries(const std::string& b, const Row& h) const {
    if (!has(b + "attn_qkv.weight")) return product(b + "attn_q", h);
    return part(product(b + "attn_qkv", h), 0, config_.heads * config_.head_dim);
  }
  Row keys(const std::string& b, const Row& h) const {
    if (!has(b + "attn_qkv.weight")) return product(b + "attn_k", h);
    return part(product(b + "attn_qkv", h), config_.heads * config_.head_dim,
                config_.kv_heads * config_.head_dim);
  }
  Row values(const std::string& b, const Row& h) const {
    if (!has(b + "attn_qkv.weight")) return product(b + "attn_v", h);
    return part(product(b + "attn_qkv", h), (config_.heads + config_.kv_heads) * config_.head_dim,
                config_.kv_heads * config_.head_dim);
  }
  Row hidden(const std::string& b, const Row& h) const {
    Row up = product(b + "ffn_up", h), gate;
    if (!config_.gated) {
      for (double& v : up) v = activated(v);
      return up;
    }
    if (has(b + "ffn_gate.weight")) {
      gate = product(b + "ffn_gate", h);
    } else {
      gate = part(up, 0, config_.feed_forward);
      up = part(up, config_.feed_forward, config_.feed_forward);
    }
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = activated(gate[i]) * up[i];
    return gate;
  }

  /// NAME.weight times x, plus NAME.bias if there is one; matrix `m` of `matrices` that are stacked.
  Row product(const std::string& name, const Row& x, size_t m = 0, size_t matrices = 1) const {
    const auto& w = at(name + ".weight");
    Row y(w.size() / x.size() / matrices);
    const float* first = w.data() + m * y.size() * x.size();
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t i = 0; i < x.size(); ++i) y[r] += first[r * x.size() + i] * x[i];
    }
    if (const auto bias = tensors_.find(name + ".bias"); bias != tensors_.end()) {
      for (size_t r = 0; r < y.size(); ++r) y[r] += bias->second[m * y.size() + r];
    }
    return y;
  }

  /// NAME is ffn_gate and so on, with `suffix`; `expert` of `experts` in stacked tensors.
  Row feed_forward(const std::string& block, const std::string& suffix, const Row& h, size_t expert = 0,
                   size_t experts = 1) const {
    Row gate = product(block + "ffn_gate" + suffix, h, expert, experts);
    Row up = product(block + "ffn_up" + suffix, h, expert, experts);
    for (size_t i = 0; config_.gate == Gate::clamped && i < gate.size(); ++i) {
      gate[i] = std::min(gate[i], 7.0);
      up[i] = 1 + std::clamp(up[i], -7.0, 7.0);
    }
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = activated(gate[i]) * up[i];
    return product(block + "ffn_down" + suffix, gate, expert, experts);
  }

  Row mixture(const std::string& block, const Row& h) const {
    const ExpertConfig& e = config_.experts;
    const Row logits = product(block + "ffn_gate_inp", h);
    const auto exponentials = [](Row values) {
      for (double& v : values) v = std::exp(v);
      return values;
    };
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    Row scores = exponentials(logits);
    if (e.routing == Routing::softmax) {
      double total = 0;
      for (const double s : scores) total += s;
      for (double& s : scores) s /= total;
    } else if (e.routing == Routing::sigmoid) {
      for (size_t i = 0; i < scores.size(); ++i) scores[i] = sigmoid(logits[i]);
    }
    // What chooses: corrected, and only within the best groups.
    Row rank = scores;
    if (has(block + "exp_probs_b.bias"))
      for (size_t i = 0; i < rank.size(); ++i) rank[i] += at(block + "exp_probs_b.bias")[i];
    const size_t size = rank.size() / static_cast<size_t>(e.groups);
    const auto group_rank = [&](size_t g) {
      Row members(rank.begin() + static_cast<int64_t>(g * size),
                  rank.begin() + static_cast<int64_t>((g + 1) * size));
      std::sort(members.rbegin(), members.rend());
      return members[0] + members[1];
    };
    std::vector<bool> taken(scores.size());
    for (size_t g = 0; e.groups > 1 && g < static_cast<size_t>(e.groups); ++g) {
      int better = 0;
      for (size_t other = 0; other < static_cast<size_t>(e.groups); ++other)
        better += group_rank(other) > group_rank(g);
      for (size_t i = g * size; better >= e.groups_used && i < (g + 1) * size; ++i) taken[i] = true;
    }
    std::vector<size_t> chosen;
    double sum = 0;
    for (int n = 0; n < e.used; ++n) {
      size_t best = scores.size();
      for (size_t i = 0; i < scores.size(); ++i)
        if (!taken[i] && (best == scores.size() || rank[i] > rank[best])) best = i;
      taken[best] = true;
      chosen.push_back(best);
      sum += scores[best];
    }
    Row out(h.size());
    for (const size_t expert : chosen) {
      const bool divide = e.normalised || e.routing == Routing::softmax_of_chosen;
      const double weight = (divide ? scores[expert] / sum : scores[expert]) * e.scale;
      Row y = feed_forward(block, "_exps", h, expert, scores.size());
      for (double& v : y) v *= weight;
      add(out, y);
    }
    if (e.shared_feed_forward > 0) {
      Row y = feed_forward(block, "_shexp", h);
      if (e.shared_router) {
        const double weight = sigmoid(product(block + "ffn_gate_inp_shexp", h)[0]);
        for (double& v : y) v *= weight;
      }
      add(out, y);
    }
    return out;
  }

  Row norm(const Row& x, const std::vector<float>& gain) const {
    double squares = 0;
    for (double v : x) squares += v * v;
    Row y(x.size());
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + config_.norm_epsilon);
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * gain[i];
    return y;
  }
  /// With NAME.weight and NAME.bias, where they are there; a family's kind of norm.
  Row normed(const Row& x, const std::string& name) const {
    if (!has(name + ".weight")) return x;
    Row centred = x;
    if (config_.norm == NormKind::layer) {
      double mean = 0;
      for (double v : x) mean += v / static_cast<double>(x.size());
      for (double& v : centred) v -= mean;
    }
    Row y = norm(centred, at(name + ".weight"));
    if (has(name + ".bias"))
      for (size_t i = 0; i < y.size(); ++i) y[i] += at(name + ".bias")[i];
    return y;
  }

  double activated(double x) const {
    if (config_.gate == Gate::clamped) return x / (1 + std::exp(-1.702 * x));
    if (config_.gate == Gate::silu) return x / (1 + std::exp(-x));
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }

  /// Norm (where the family has one) and rotation of each head.
  Row heads(Row x, int count, const std::string& norm_name, size_t position, int64_t layer) const {
    const int d = config_.head_dim, half = config_.rotary_dim / 2;
    std::vector<float> cos(half), sin(half);
    const bool local = config_.has_local_rope() && config_.window_of(layer) > 0;
    if (half > 0)
      (local ? local_rope_row : rope_row)(config_, static_cast<int64_t>(position), cos.data(), sin.data());
    const bool together = config_.qk_norm && at(norm_name).size() == x.size() && count > 1;
    if (together) x = norm(x, at(norm_name));
    for (int h = 0; h < count; ++h) {
      Row head(x.begin() + h * d, x.begin() + (h + 1) * d);
      if (config_.qk_norm && !together) head = norm(head, at(norm_name));
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

  Row attend(const Row& q, const std::vector<Row>& k, const std::vector<Row>& v, size_t t,
             const std::string& block, int64_t layer) const {
    const LatentConfig& m = config_.latent;
    const bool latent = m.rank > 0;
    const int64_t d = latent ? m.plain + config_.rotary_dim : config_.head_dim;
    const int64_t width = latent ? m.value : config_.head_dim;
    const int kv_heads = latent ? config_.heads : config_.kv_heads;
    const size_t window = static_cast<size_t>(config_.window_of(layer));
    const size_t from = window > 0 && t + 1 > window ? t + 1 - window : 0;
    Row out(static_cast<size_t>(config_.heads * width));
    for (int h = 0; h < config_.heads; ++h) {
      const int g = h / (config_.heads / kv_heads);
      Row p;
      const std::string sinks = block + "attn_sinks.weight";
      double total = has(sinks) ? std::exp(at(sinks)[static_cast<size_t>(h)]) : 0;
      for (size_t j = from; j <= t; ++j) {
        double dot = 0;
        for (int i = 0; i < d; ++i) dot += q[h * d + i] * k[j][g * d + i];
        p.push_back(std::exp(capped(dot * config_.attention_scale, config_.attention_softcap)));
        total += p.back();
      }
      for (size_t j = from; j <= t; ++j) {
        for (int64_t i = 0; i < width; ++i) out[h * width + i] += p[j - from] / total * v[j][g * width + i];
      }
    }
    return out;
  }

  ModelConfig config_;
  std::map<std::string, std::vector<float>> tensors_;
};

}  // namespace carat::testing
