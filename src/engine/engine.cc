#include "engine/engine.h"

#include <algorithm>

#include "engine/kv_cache.h"
#include "model/forward.h"

namespace carat {
namespace {

constexpr int64_t default_context_limit = 4096;

class LoadedEngine final : public Engine, public std::enable_shared_from_this<LoadedEngine> {
 public:
  LoadedEngine(Checkpoint checkpoint, Weights weights, std::shared_ptr<const Tokenizer> tokenizer,
               const KernelTable& kernels, int64_t context, ActivationScheme scheme, KvEncoding kv)
      : checkpoint_(std::move(checkpoint)),
        weights_(std::move(weights)),
        tokenizer_(std::move(tokenizer)),
        kernels_(kernels),
        context_(context),
        scheme_(scheme),
        kv_(kv) {}

  const Checkpoint& checkpoint() const override { return checkpoint_; }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  int64_t vocabulary() const override { return config().vocabulary; }
  int64_t context_length() const override { return context_; }
  bool wants_bos() const override { return tokenizer_ && tokenizer_->adds_bos(); }
  std::string_view activation_scheme() const override { return activation_scheme_name(scheme_); }
  Result<std::unique_ptr<Session>> new_session() override { return new_session(scheme_); }
  Result<std::unique_ptr<Session>> new_session(ActivationScheme scheme) override;
  Result<std::span<const float>> step(const Context& context, std::span<Session* const> sessions,
                                      std::span<const TokenId> tokens) override;

  const ModelConfig& config() const { return weights_.config; }
  Model model(const Context& context, ActivationScheme scheme) const {
    return {weights_, kernels_, scheme, context.profile};
  }
  KvEncoding kv() const { return kv_; }
  ForwardScratch& scratch() { return scratch_; }

 private:
  Checkpoint checkpoint_;
  Weights weights_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  const KernelTable& kernels_;
  int64_t context_;
  ActivationScheme scheme_;
  KvEncoding kv_;
  ForwardScratch scratch_;
  std::vector<ForwardSegment> step_segments_;
  std::vector<float> step_hidden_;  ///< [sessions, width]
  std::vector<float> step_logits_;  ///< [sessions, vocabulary]
};

class LoadedSession final : public Session {
 public:
  LoadedSession(std::shared_ptr<LoadedEngine> engine, ActivationScheme scheme)
      : engine_(std::move(engine)), scheme_(scheme), cache_(engine_->config(), engine_->kv()) {}

  int64_t position() const override { return position_; }

  Result<std::span<const float>> append(const Context& context, std::span<const TokenId> tokens) override {
    if (tokens.empty()) return usage_error("append() needs at least one token");
    const int64_t before = position_;
    CARAT_DO(append_kept(context, tokens, static_cast<int64_t>(tokens.size()) - 1));
    logits_.resize(engine_->vocabulary());
    if (Status scored = kept_logits(context, 0, 1, logits_.data()); !scored) {
      truncate(before);
      return std::move(scored).error();
    }
    return std::span<const float>(logits_);
  }

  Status append_scored(const Context& context, std::span<const TokenId> tokens, int64_t first_scored,
                       const std::function<Status(int64_t, int64_t, const float*)>& sink) override {
    const int64_t before = position_;
    CARAT_DO(append_kept(context, tokens, first_scored));
    const Status scored = score_kept(context, first_scored, sink);
    if (!scored) truncate(before);
    return scored;
  }

  Status append_kept(const Context& context, std::span<const TokenId> tokens, int64_t first_kept) override {
    CARAT_DO(check_append(tokens));
    const int64_t n = static_cast<int64_t>(tokens.size());
    const int64_t width = engine_->config().width;
    const int64_t before = position_;
    first_kept = std::clamp<int64_t>(first_kept, 0, n);
    kept_ = n - first_kept;
    hidden_.resize(kept_ * width);
    cache_.reserve(before + n, before, engine_->context_length());
    const Model model = engine_->model(context, scheme_);
    for (int64_t first = 0; first < n; first += max_forward_tokens) {
      if (Status go_on = context.check(); !go_on) {
        truncate(before);
        return go_on;
      }
      const int64_t count = std::min(max_forward_tokens, n - first);
      const int64_t kept = std::clamp<int64_t>(first + count - first_kept, 0, count);
      const ForwardSegment segment{tokens.subspan(first, count), position_, cache_.views(), kept};
      float* hidden = hidden_.data() + std::max<int64_t>(0, first - first_kept) * width;
      forward(context.pool, model, engine_->scratch(), {&segment, 1}, hidden);
      position_ += count;
    }
    return {};
  }

  Status kept_logits(const Context& context, int64_t first, int64_t count, float* logits) override {
    if (first < 0 || count < 0 || first + count > kept_) {
      return error(Code::internal, "logits of kept tokens {} to {} asked for, where {} were kept", first,
                   first + count, kept_);
    }
    CARAT_DO(context.check());
    const float* hidden = hidden_.data() + first * engine_->config().width;
    if (count > 0) output_logits(context.pool, engine_->model(context, scheme_), hidden, count, logits);
    return {};
  }

  void truncate(int64_t position) override {
    position_ = std::clamp<int64_t>(position, 0, position_);
    kept_ = 0;
  }

  const LoadedEngine* engine() const { return engine_.get(); }
  ActivationScheme scheme() const { return scheme_; }

  /// Whether the tokens can be appended.
  Status check_append(std::span<const TokenId> tokens) const {
    const int64_t room = engine_->context_length() - position_;
    if (static_cast<int64_t>(tokens.size()) > room) {
      const auto count = fmt::format("{} token{}", tokens.size(), tokens.size() == 1 ? "" : "s");
      if (position_ == 0)
        return usage_error("the prompt has {}, the context holds {}; use --ctx or a shorter prompt", count,
                           engine_->context_length());
      return usage_error("{} more do not fit: the context holds {}, {} are taken; --ctx makes it larger",
                         count, engine_->context_length(), position_);
    }
    for (const TokenId id : tokens) {
      if (id < 0 || id >= engine_->vocabulary()) {
        return usage_error("token {} is outside the model's vocabulary of {}", id, engine_->vocabulary());
      }
    }
    return {};
  }

  /// The session's part of a step that appends a token; accepted after check_append ...
  ForwardSegment step_segment(const TokenId& token) {
    cache_.reserve(position_ + 1, position_, engine_->context_length());
    return {{&token, 1}, position_, cache_.views(), 1};
  }
  /// ... and taken note of when the step is done.
  void stepped() {
    ++position_;
    kept_ = 0;
  }

 private:
  Status score_kept(const Context& context, int64_t first_index,
                    const std::function<Status(int64_t, int64_t, const float*)>& sink) {
    const int64_t slab = logit_slab_rows(engine_->vocabulary());
    slab_.resize(std::min(slab, kept_) * engine_->vocabulary());
    for (int64_t first = 0; first < kept_; first += slab) {
      const int64_t count = std::min(slab, kept_ - first);
      CARAT_DO(kept_logits(context, first, count, slab_.data()));
      CARAT_DO(sink(first_index + first, count, slab_.data()));
    }
    return {};
  }

  std::shared_ptr<LoadedEngine> engine_;
  ActivationScheme scheme_;
  KvCache cache_;
  int64_t position_ = 0;
  int64_t kept_ = 0;           ///< rows of hidden_
  std::vector<float> hidden_;  ///< [kept_, width]
  std::vector<float> slab_;    ///< [slab, vocabulary]
  std::vector<float> logits_;  ///< [vocabulary]
};

Result<std::unique_ptr<Session>> LoadedEngine::new_session(ActivationScheme scheme) {
  return std::unique_ptr<Session>(std::make_unique<LoadedSession>(shared_from_this(), scheme));
}

Result<std::span<const float>> LoadedEngine::step(const Context& context, std::span<Session* const> sessions,
                                                  std::span<const TokenId> tokens) {
  if (sessions.empty() || sessions.size() != tokens.size())
    return usage_error("a step needs one token for each of its sessions, not {} for {}", tokens.size(),
                       sessions.size());
  std::vector<Session*> distinct(sessions.begin(), sessions.end());
  std::ranges::sort(distinct);
  if (std::ranges::adjacent_find(distinct) != distinct.end())
    return usage_error("a session can take part in a step only once");
  std::vector<LoadedSession*> own;
  for (size_t i = 0; i < sessions.size(); ++i) {
    own.push_back(dynamic_cast<LoadedSession*>(sessions[i]));
    if (!own[i] || own[i]->engine() != this) return usage_error("session {} is not of this engine", i);
    if (own[i]->scheme() != own[0]->scheme())
      return usage_error("the sessions of a step must have one activation scheme, not {} and {}",
                         activation_scheme_name(own[0]->scheme()), activation_scheme_name(own[i]->scheme()));
    if (Status fits = own[i]->check_append(tokens.subspan(i, 1)); !fits)
      return std::move(fits).error().within(fmt::format("session {}", i));
  }
  CARAT_DO(context.check());

  const int64_t n = static_cast<int64_t>(sessions.size());
  const Model with = model(context, own[0]->scheme());
  step_segments_.clear();
  for (int64_t i = 0; i < n; ++i) step_segments_.push_back(own[i]->step_segment(tokens[i]));
  step_hidden_.resize(n * config().width);
  step_logits_.resize(n * vocabulary());
  for (int64_t first = 0; first < n; first += max_forward_tokens) {
    const int64_t count = std::min(max_forward_tokens, n - first);
    forward(context.pool, with, scratch_, std::span(step_segments_).subspan(first, count),
            step_hidden_.data() + first * config().width);
  }
  output_logits(context.pool, with, step_hidden_.data(), n, step_logits_.data());
  for (LoadedSession* session : own) session->stepped();
  return std::span<const float>(step_logits_);
}

}  // namespace

int64_t logit_slab_rows(int64_t vocabulary) {
  constexpr int64_t floats = 8 << 20;
  return std::clamp<int64_t>(floats / std::max<int64_t>(vocabulary, 1) / 16 * 16, 16, max_forward_tokens);
}

Result<std::shared_ptr<Engine>> Engine::load(const Context& context, Checkpoint checkpoint,
                                             const EngineOptions& options) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  CARAT_TRY(Weights weights, load_weights(context, checkpoint));
  const int64_t own = weights.config.context_length;
  if (options.context < 0) return usage_error("a context of {} tokens cannot be", options.context);
  if (options.context > own) {
    context.progress.note(fmt::format("{} was trained for at most {} tokens; beyond them it predicts worse",
                                      checkpoint.source, own));
  }
  const int64_t positions = options.context > 0 ? options.context : std::min(own, default_context_limit);

  std::shared_ptr<const Tokenizer> tokenizer;
  if (checkpoint.metadata.has("tokenizer.ggml.model")) {
    auto made = Tokenizer::from_metadata(checkpoint.metadata);
    if (!made) return std::move(made).error().within(checkpoint.source);
    tokenizer = *std::move(made);
    if (const std::string note = Tokenizer::note_of(checkpoint.metadata); !note.empty())
      context.progress.note(fmt::format("{}: {}", checkpoint.source, note));
  }
  return std::shared_ptr<Engine>(std::make_shared<LoadedEngine>(std::move(checkpoint), std::move(weights),
                                                                std::move(tokenizer), *kernels, positions,
                                                                options.activations, options.kv));
}

}  // namespace carat
