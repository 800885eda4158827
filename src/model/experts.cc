#include "model/experts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "model/forward.h"
#include "model/laps.h"
#include "model/products.h"
#include "model/rows.h"

namespace carat {
namespace {

/// Least sum that weights are divided by: the smallest normal half float, as in llama.cpp's build_moe_ffn.
constexpr double kLeastSum = 6.103515625e-5;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

namespace {

/// order[0, used) are the indices of the largest of `rank`, the smaller of equal ones; what is no number is
/// least.
void choose(const std::vector<double>& rank, int used, std::vector<int32_t>& order) {
  order.resize(rank.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](int32_t i) {
    const double r = rank[static_cast<size_t>(i)];
    return std::isnan(r) ? -std::numeric_limits<double>::infinity() : r;
  };
  std::partial_sort(order.begin(), order.begin() + used, order.end(),
                    [&](int32_t a, int32_t b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
}

/// Experts of all but the best groups, by the sum of their two best, cannot be chosen.
void keep_best_groups(const ExpertConfig& e, RoutingScratch& s) {
  const auto size = static_cast<size_t>(e.count / e.groups);
  s.group_rank.assign(static_cast<size_t>(e.groups), 0.0);
  for (size_t g = 0; g < s.group_rank.size(); ++g) {
    double best = -std::numeric_limits<double>::infinity(), second = best;
    for (size_t i = g * size; i < (g + 1) * size; ++i) {
      second = std::max(second, std::min(best, s.rank[i]));
      best = std::max(best, s.rank[i]);
    }
    s.group_rank[g] = best + second;
  }
  choose(s.group_rank, e.groups_used, s.groups);
  for (size_t g = static_cast<size_t>(e.groups_used); g < s.groups.size(); ++g)
    std::fill_n(s.rank.begin() + static_cast<int64_t>(static_cast<size_t>(s.groups[g]) * size), size,
                -std::numeric_limits<double>::infinity());
}

}  // namespace

void route(const ExpertConfig& e, const float* logits, const float* correction, int32_t* chosen,
           float* weights, RoutingScratch& s) {
  const auto count = static_cast<size_t>(e.count);
  s.scores.resize(count);
  double top = -std::numeric_limits<double>::infinity(), total = 0;
  for (size_t i = 0; i < count; ++i) top = std::max(top, double{logits[i]});
  for (size_t i = 0; i < count; ++i) {
    s.scores[i] = e.routing == Routing::sigmoid ? sigmoid(logits[i]) : std::exp(logits[i] - top);
    total += s.scores[i];
  }
  if (e.routing == Routing::softmax)
    for (double& score : s.scores) score /= total;
  s.rank = s.scores;
  for (size_t i = 0; correction && i < count; ++i) s.rank[i] += correction[i];
  if (e.groups > 1) keep_best_groups(e, s);
  choose(s.rank, e.used, s.order);
  std::copy_n(s.order.begin(), e.used, chosen);
  std::sort(chosen, chosen + e.used);

  double sum = 0;
  for (int i = 0; i < e.used; ++i) sum += s.scores[static_cast<size_t>(chosen[i])];
  double divisor = 1;
  if (e.routing == Routing::softmax_of_chosen) divisor = sum;
  if (e.normalised) divisor = std::max(sum, kLeastSum);
  for (int i = 0; i < e.used; ++i)
    weights[i] = static_cast<float>(s.scores[static_cast<size_t>(chosen[i])] / divisor * e.scale);
}

namespace {

void at_least(std::vector<float>& v, int64_t size) {
  if (static_cast<int64_t>(v.size()) < size) v.resize(static_cast<size_t>(size));
}

/// One layer's feed-forward for some tokens.
class Mixture {
 public:
  Mixture(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
          ForwardScratch& scratch)
      : pool_(pool),
        model_(model),
        c_(model.weights.config),
        e_(c_.experts),
        w_(w),
        layer_(layer),
        rows_(rows),
        s_(scratch),
        x_(scratch.experts),
        laps_(model.profile) {
    const int64_t widest =
        std::max(std::max(rows, int64_t{e_.used}) * e_.feed_forward, rows * e_.shared_feed_forward);
    at_least(s_.gate, widest);
    at_least(s_.up, widest);
    at_least(x_.logits, rows * e_.count);
    at_least(x_.weights, rows * e_.used);
    at_least(x_.gathered, rows * c_.width);
    at_least(x_.out, std::max(rows, int64_t{e_.used}) * c_.width);
    at_least(x_.mixed, rows * c_.width);
    x_.chosen.resize(static_cast<size_t>(rows * e_.used));
    x_.places.resize(x_.chosen.size());
    x_.first.resize(static_cast<size_t>(e_.count + 1));
  }

  /// s.h holds the normed rows; x += what they give.
  void run(float* x) {
    route_all();
    std::fill_n(x_.mixed.begin(), rows_ * c_.width, 0.0f);
    // One token's experts are as many matrices that read the same: one product.
    if (rows_ == 1)
      one_token();
    else
      for (int32_t expert = 0; expert < e_.count; ++expert) one_expert(expert);
    if (e_.shared_feed_forward > 0) shared();
    add_rows(pool_, model_, {}, w_.post_feed_forward_norm, x, x_.mixed.data(), rows_);
    laps_.mark("add");
  }

  /// The router's few numbers decide which matrices are read at all: they are never rounded, whatever the
  /// scheme, so that a scheme changes how experts compute and not which of them do.
  void choose_experts() {
    const MatmulTarget router[] = {{w_.router, x_.logits.data(), e_.count}};
    matmul(model_.kernels, pool_, ActivationScheme::float32, router, s_.h.data(), c_.width, rows_);
    laps_.product("router", ActivationScheme::float32, router, rows_);
    if (!w_.router_bias.empty())
      add_bias(model_.kernels, x_.logits.data(), w_.router_bias.data(), rows_, e_.count);
    for (int64_t t = 0; t < rows_; ++t)
      route(e_, x_.logits.data() + t * e_.count,
            w_.router_correction.empty() ? nullptr : w_.router_correction.data(),
            x_.chosen.data() + t * e_.used, x_.weights.data() + t * e_.used, x_.routing);
  }

  /// s.gate[n, expert_feed_forward] = what the expert's down matrix reads of h[n, width].
  void gate_of(int64_t expert, const float* h, int64_t n) {
    const Product gate_up[] = {{one_of(w_.gate_experts, expert, e_.count), s_.gate.data(), e_.feed_forward},
                               {one_of(w_.up_experts, expert, e_.count), s_.up.data(), e_.feed_forward}};
    multiply("experts' gate, up", gate_up, h, n);
    add_biases(w_.gate_experts_bias, expert, e_.feed_forward, s_.gate.data(), n);
    add_biases(w_.up_experts_bias, expert, e_.feed_forward, s_.up.data(), n);
    gate(n, e_.feed_forward);
  }

  /// s.gate[rows, shared_feed_forward] = what the shared experts' down matrix reads.
  void gate_of_shared() {
    const int64_t columns = e_.shared_feed_forward;
    const Product gate_up[] = {{w_.gate, s_.gate.data(), columns}, {w_.up, s_.up.data(), columns}};
    multiply("gate, up", gate_up, s_.h.data(), rows_);
    gate(rows_, columns);
  }

 private:
  void multiply(std::string_view operation, std::span<const Product> targets, const float* from,
                int64_t tokens) {
    carat::multiply(pool_, model_, targets, from, targets.front().weight.columns, tokens);
    laps_.product(operation, model_.scheme, targets, tokens);
  }

  /// s.gate = activation(s.gate) * s.up, [rows, columns]
  void gate(int64_t rows, int64_t columns) {
    over_tokens(pool_, rows, 2 * columns, [&](int64_t first, int64_t count) {
      float* gate = s_.gate.data() + first * columns;
      float* up = s_.up.data() + first * columns;
      if (c_.gate == Gate::clamped) clamp(gate, up, count * columns);
      const auto gate_mul = c_.gate == Gate::gelu ? &gelu_mul : &silu_mul;
      gate_mul(model_.kernels, gate, up, count * columns);
    });
    laps_.mark("gate");
  }

  /// x sigmoid(a x) (1 + y) = silu(a x) (1 + y) / a
  static void clamp(float* gate, float* up, int64_t n) {
    constexpr float kSlope = 1.702f, kLimit = 7.0f;
    for (int64_t i = 0; i < n; ++i) {
      gate[i] = kSlope * std::min(gate[i], kLimit);
      up[i] = (1.0f + std::clamp(up[i], -kLimit, kLimit)) / kSlope;
    }
  }

  /// x += an expert's part of its matrix's biases, where it has any.
  void add_biases(const std::vector<float>& biases, int64_t expert, int64_t columns, float* x, int64_t rows) {
    if (biases.empty()) return;
    over_tokens(pool_, rows, columns, [&](int64_t first, int64_t count) {
      add_bias(model_.kernels, x + first * columns, biases.data() + expert * columns, count, columns);
    });
  }

  void show(LinearInput input, int64_t expert, const float* from, int64_t tokens) {
    if (model_.tap)
      model_.tap->input({layer_, input, expert}, from, tokens, input_columns(c_, input, layer_));
  }

  void route_all() {
    choose_experts();
    // The tokens of each expert, by counting.
    std::fill(x_.first.begin(), x_.first.end(), 0);
    for (const int32_t expert : x_.chosen) ++x_.first[static_cast<size_t>(expert) + 1];
    std::partial_sum(x_.first.begin(), x_.first.end(), x_.first.begin());
    x_.filled.assign(x_.first.begin(), x_.first.end() - 1);
    for (size_t place = 0; place < x_.chosen.size(); ++place)
      x_.places[static_cast<size_t>(x_.filled[static_cast<size_t>(x_.chosen[place])]++)] =
          static_cast<int32_t>(place);
    laps_.mark("route");
  }

  void one_token() {
    targets_.clear();
    for (int i = 0; i < e_.used; ++i) {
      show(LinearInput::experts, x_.chosen[i], s_.h.data(), 1);
      targets_.push_back(
          {one_of(w_.gate_experts, x_.chosen[i], e_.count), s_.gate.data() + i * e_.feed_forward, 0});
      targets_.push_back(
          {one_of(w_.up_experts, x_.chosen[i], e_.count), s_.up.data() + i * e_.feed_forward, 0});
    }
    multiply("experts' gate, up", targets_, s_.h.data(), 1);
    for (int i = 0; i < e_.used; ++i) {
      add_biases(w_.gate_experts_bias, x_.chosen[i], e_.feed_forward, s_.gate.data() + i * e_.feed_forward,
                 1);
      add_biases(w_.up_experts_bias, x_.chosen[i], e_.feed_forward, s_.up.data() + i * e_.feed_forward, 1);
    }
    gate(e_.used, e_.feed_forward);
    for (int i = 0; i < e_.used; ++i) {
      const float* gated = s_.gate.data() + i * e_.feed_forward;
      show(LinearInput::experts_down, x_.chosen[i], gated, 1);
      const Product down[] = {
          {one_of(w_.down_experts, x_.chosen[i], e_.count), x_.out.data() + i * c_.width, c_.width}};
      multiply("experts' down", down, gated, 1);
      add_biases(w_.down_experts_bias, x_.chosen[i], c_.width, x_.out.data() + i * c_.width, 1);
    }
    for (int i = 0; i < e_.used; ++i)
      add_weighted(x_.weights[i], x_.out.data() + i * c_.width, x_.mixed.data());
    laps_.mark("mix");
  }

  void one_expert(int32_t expert) {
    const int32_t* places = x_.places.data() + x_.first[expert];
    const int64_t n = x_.first[expert + 1] - x_.first[expert];
    if (n == 0) return;
    over_tokens(pool_, n, c_.width, [&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i)
        std::memcpy(x_.gathered.data() + i * c_.width, s_.h.data() + places[i] / e_.used * c_.width,
                    static_cast<size_t>(c_.width) * sizeof(float));
    });
    laps_.mark("gather");
    show(LinearInput::experts, expert, x_.gathered.data(), n);
    gate_of(expert, x_.gathered.data(), n);
    show(LinearInput::experts_down, expert, s_.gate.data(), n);
    const Product down[] = {{one_of(w_.down_experts, expert, e_.count), x_.out.data(), c_.width}};
    multiply("experts' down", down, s_.gate.data(), n);
    add_biases(w_.down_experts_bias, expert, c_.width, x_.out.data(), n);
    over_tokens(pool_, n, c_.width, [&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i)
        add_weighted(x_.weights[static_cast<size_t>(places[i])], x_.out.data() + i * c_.width,
                     x_.mixed.data() + places[i] / e_.used * c_.width);
    });
    laps_.mark("mix");
  }

  void shared() {
    show(LinearInput::feed_forward, 0, s_.h.data(), rows_);
    gate_of_shared();
    show(LinearInput::down, 0, s_.gate.data(), rows_);
    const Product down[] = {{w_.down, x_.out.data(), c_.width}};
    multiply("down", down, s_.gate.data(), rows_);
    over_tokens(pool_, rows_, 2 * c_.width, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t) {
        const float* out = x_.out.data() + t * c_.width;
        float* mixed = x_.mixed.data() + t * c_.width;
        if (e_.shared_router)
          add_weighted(shared_weight(s_.h.data() + t * c_.width), out, mixed);
        else
          add(model_.kernels, mixed, out, c_.width);
      }
    });
    laps_.mark("mix");
  }

  float shared_weight(const float* h) const {
    double logit = 0;
    for (int64_t i = 0; i < c_.width; ++i)
      logit += static_cast<double>(w_.shared_router[static_cast<size_t>(i)]) * h[i];
    return static_cast<float>(sigmoid(logit));
  }

  void add_weighted(float weight, const float* from, float* to) const {
    for (int64_t i = 0; i < c_.width; ++i) to[i] += weight * from[i];
  }

  ThreadPool& pool_;
  const Model& model_;
  const ModelConfig& c_;
  const ExpertConfig& e_;
  const LayerWeights& w_;
  const int64_t layer_, rows_;
  ForwardScratch& s_;
  ExpertScratch& x_;
  Laps laps_;
  std::vector<Product> targets_;
};

/// s.h[rows, width] = norm(x), for any number of rows.
void norm_rows(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t rows, const float* x,
               ForwardScratch& s) {
  at_least(s.h, rows * model.weights.config.width);
  norm(pool, model, x, w.feed_forward_norm, rows, s.h.data());
}

}  // namespace

void layer_routes(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                  const float* x, ForwardScratch& s) {
  norm_rows(pool, model, w, rows, x, s);
  Mixture(pool, model, w, layer, rows, s).choose_experts();
}

void expert_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t expert,
                  int64_t rows, const float* x, ForwardScratch& s) {
  norm_rows(pool, model, w, rows, x, s);
  Mixture(pool, model, w, layer, rows, s).gate_of(expert, s.h.data(), rows);
}

void shared_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                  const float* x, ForwardScratch& s) {
  norm_rows(pool, model, w, rows, x, s);
  Mixture(pool, model, w, layer, rows, s).gate_of_shared();
}

void layer_experts(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                   float* x, ForwardScratch& s) {
  Laps laps(model.profile);
  norm(pool, model, x, w.feed_forward_norm, rows, s.h.data());  // h: [rows, width]
  laps.mark("norm");
  Mixture(pool, model, w, layer, rows, s).run(x);
}

}  // namespace carat
