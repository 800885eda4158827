#include "quantize/expert_feedback.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "quantize/hessian_tap.h"

namespace carat {
namespace {

uint64_t bytes_of(const ExpertFeedback::Matrix& m) {
  return sizeof(float) *
         (m.factor.slices.size() + m.factor.weight.size() + m.factor.order.size() + m.diagonal.size());
}

bool is_for(const FeedbackFactor& factor, const FeedbackOptions& options) {
  return factor.block == options.block && factor.leaf == options.leaf;
}

}  // namespace

double noise_share(ThreadPool& pool, std::span<const float> hessian, int64_t columns, int64_t tokens) {
  const auto at = [&](int64_t r, int64_t c) {
    return static_cast<double>(hessian[static_cast<size_t>(r * columns + c)]);
  };
  std::vector<double> inverse(static_cast<size_t>(columns)), squares(inverse);
  double live = 0, sum = 0;
  for (int64_t k = 0; k < columns; ++k) {
    if (!(at(k, k) > 0)) continue;
    inverse[static_cast<size_t>(k)] = 1 / at(k, k);
    live += 1;
  }
  pool.parallel_for(columns, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < columns; ++c)
        if (c != r)
          squares[static_cast<size_t>(r)] +=
              at(r, c) * at(r, c) * inverse[static_cast<size_t>(r)] * inverse[static_cast<size_t>(c)];
  });
  for (const double s : squares) sum += s;
  const double chance = live * (live - 1) / static_cast<double>(tokens);
  return chance < sum ? chance / sum : 1;
}

Result<FeedbackFactor> expert_factor(const Context& context, const KernelTable& kernels,
                                     std::vector<float>& hessian, int64_t columns, int64_t tokens,
                                     FeedbackOptions& options) {
  if (tokens > 0) {
    options.shrink = std::max(options.shrink, noise_share(context.pool, hessian, columns, tokens));
  } else {
    hessian.assign(static_cast<size_t>(columns * columns), 0.0f);
    for (int64_t k = 0; k < columns; ++k) hessian[static_cast<size_t>(k * columns + k)] = 1;
  }
  return prepare_feedback(context, kernels, hessian, columns, options);
}

Status ExpertFeedback::enter(const Context& context, const Model& model, const LayerWeights& w, int64_t layer,
                             std::span<const float> x) {
  const ModelConfig& c = model.weights.config;
  const int64_t tokens = static_cast<int64_t>(x.size()) / c.width, used = c.experts.used;
  layer_ = layer;
  x_ = x;
  kept_.clear();
  kept_size_ = 0;
  std::vector<int32_t> chosen(static_cast<size_t>(tokens * used));
  for (int64_t first = 0; first < tokens; first += kGramTokens) {
    CARAT_DO(context.check());
    const int64_t n = std::min(kGramTokens, tokens - first);
    layer_routes(context.pool, model, w, layer, n, x.data() + first * c.width, scratch_);
    std::copy_n(scratch_.experts.chosen.begin(), n * used, chosen.begin() + first * used);
  }
  first_.assign(static_cast<size_t>(c.experts.count) + 1, 0);
  for (const int32_t expert : chosen) ++first_[static_cast<size_t>(expert) + 1];
  std::partial_sum(first_.begin(), first_.end(), first_.begin());
  std::vector<int64_t> next(first_.begin(), first_.end() - 1);
  tokens_.resize(chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i)
    tokens_[static_cast<size_t>(next[static_cast<size_t>(chosen[i])]++)] =
        static_cast<int32_t>(static_cast<int64_t>(i) / used);
  return {};
}

std::span<const int32_t> ExpertFeedback::tokens_of(int64_t expert) const {
  const auto begin = static_cast<size_t>(first_[static_cast<size_t>(expert)]),
             end = static_cast<size_t>(first_[static_cast<size_t>(expert) + 1]);
  return std::span(tokens_).subspan(begin, end - begin);
}

Result<const ExpertFeedback::Matrix*> ExpertFeedback::matrix(const Context& context, const Model& model,
                                                             const LayerWeights& w, LinearInput input,
                                                             int64_t expert, const Encoding& target) {
  FeedbackOptions wanted = options_.at(input, target);
  const bool shared = input == LinearInput::experts;
  if (const auto known = kept_.find(expert); shared && known != kept_.end()) {
    if (is_for(known->second.factor, wanted)) return &known->second;
    kept_size_ -= bytes_of(known->second);
    kept_.erase(known);
  }
  const int64_t columns = input_columns(model.weights.config, input, layer_);
  last_ = {};
  last_.tokens = static_cast<int64_t>(tokens_of(expert).size());
  hessian_.assign(static_cast<size_t>(columns * columns), 0.0f);
  if (last_.tokens > 0) {
    CARAT_DO(measure(context, model, w, input, expert, columns));
    last_.diagonal = diagonal_of(hessian_, columns);
  }
  CARAT_TRY(last_.factor, expert_factor(context, kernels_, hessian_, columns, last_.tokens, wanted));
  last_.shrink = wanted.shrink;
  hessian_ = {};
  if (const uint64_t size = bytes_of(last_); shared && kept_size_ + size <= kept_bytes_) {
    kept_size_ += size;
    return &(kept_[expert] = std::move(last_));
  }
  return &last_;
}

Status ExpertFeedback::measure(const Context& context, const Model& model, const LayerWeights& w,
                               LinearInput input, int64_t expert, int64_t columns) {
  const int64_t width = model.weights.config.width;
  const std::span<const int32_t> tokens = tokens_of(expert);
  const auto count = static_cast<int64_t>(tokens.size());
  rows_.resize(static_cast<size_t>(std::min(count, kGramTokens) * width));
  for (int64_t first = 0; first < count; first += kGramTokens) {
    CARAT_DO(context.check());
    const int64_t n = std::min(kGramTokens, count - first);
    context.pool.parallel_for(n, 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        std::memcpy(rows_.data() + i * width,
                    x_.data() + int64_t{tokens[static_cast<size_t>(first + i)]} * width,
                    static_cast<size_t>(width) * sizeof(float));
    });
    const float* read = rows_.data();
    if (input == LinearInput::experts) {
      norm(context.pool, model, read, w.feed_forward_norm, n, rows_.data());
    } else {
      expert_gated(context.pool, model, w, layer_, expert, n, read, scratch_);
      read = scratch_.gate.data();
    }
    accumulate_gram(context.pool, kernels_, model.scheme, read, n, columns, hessian_.data());
  }
  mirror_gram(context.pool, hessian_.data(), columns);
  return {};
}

}  // namespace carat
