#include "engine/engine.h"

#include <algorithm>

#include "engine/kv_cache.h"
#include "model/forward.h"

namespace carat {
namespace {

constexpr int64_t default_context_limit = 4096;

class LoadedSession;

class LoadedEngine final : public Engine, public std::enable_shared_from_this<LoadedEngine> {
 public:
  LoadedEngine(Checkpoint checkpoint, Weights weights, std::shared_ptr<const Tokenizer> tokenizer,
               const KernelTable& kernels, const EngineOptions& options)
      : checkpoint_(std::move(checkpoint)),
        weights_(std::move(weights)),
        tokenizer_(std::move(tokenizer)),
        kernels_(kernels),
        options_(options) {}

  const EngineOptions& options() const override { return options_; }
  const Checkpoint& checkpoint() const override { return checkpoint_; }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  int64_t vocabulary() const override { return config().vocabulary; }
  int64_t context_length() const override { return options_.context; }
  int64_t kv_bytes(int64_t positions) const override {
    return config().layers * KvFormat{options_.kv, config().kv_heads, config().head_dim}.bytes(positions);
  }
  bool wants_bos() const override { return tokenizer_ && tokenizer_->adds_bos(); }
  std::string_view activation_scheme() const override { return activation_scheme_name(options_.activations); }
  Result<std::unique_ptr<Session>> new_session() override { return new_session(options_.activations); }
  Result<std::unique_ptr<Session>> new_session(ActivationScheme scheme) override;
  Status append(const Context& context, std::span<const SessionTokens> parts) override;
  Status kept_logits(const Context& context, std::span<const KeptRows> rows, float* logits) override;
  Result<std::span<const float>> step(const Context& context, std::span<Session* const> sessions,
                                      std::span<const TokenId> tokens) override;

  const ModelConfig& config() const { return weights_.config; }
  Model model(const Context& context, ActivationScheme scheme) const {
    return {weights_, kernels_, scheme, context.profile};
  }

 private:
  Checkpoint checkpoint_;
  Weights weights_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  const KernelTable& kernels_;
  EngineOptions options_;
  /// parts[i].session as what they are, if they can take part in one forward pass.
  template <class Part>
  Result<std::vector<LoadedSession*>> own_sessions(std::span<const Part> parts) const;

  ForwardScratch scratch_;
  std::vector<ForwardSegment> segments_;  ///< of a forward pass
  std::vector<float> hidden_;             ///< [tokens kept of a forward pass, width]
  std::vector<float> gathered_;           ///< [rows of kept_logits, width]
  std::vector<float> step_logits_;        ///< [sessions, vocabulary]
};

class LoadedSession final : public Session {
 public:
  LoadedSession(std::shared_ptr<LoadedEngine> engine, ActivationScheme scheme)
      : engine_(std::move(engine)), scheme_(scheme), cache_(engine_->config(), engine_->options().kv) {}

  std::span<const TokenId> tokens() const override { return tokens_; }

  Result<std::span<const float>> append(const Context& context, std::span<const TokenId> tokens) override {
    if (tokens.empty()) return usage_error("append() needs at least one token");
    const int64_t before = position();
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
    const int64_t before = position();
    CARAT_DO(append_kept(context, tokens, first_scored));
    const Status scored = score_kept(context, first_scored, sink);
    if (!scored) truncate(before);
    return scored;
  }

  Status append_kept(const Context& context, std::span<const TokenId> tokens, int64_t first_kept) override {
    const SessionTokens part{this, tokens, static_cast<int64_t>(tokens.size()) - first_kept};
    return engine_->append(context, {&part, 1});
  }

  Status kept_logits(const Context& context, int64_t first, int64_t count, float* logits) override {
    const KeptRows rows{this, first, count};
    return engine_->kept_logits(context, {&rows, 1}, logits);
  }

  void truncate(int64_t position) override {
    tokens_.resize(std::clamp<int64_t>(position, 0, this->position()));
    kept_ = 0;
  }

  Status copy_from(const Session& other, int64_t positions) override;

  const LoadedEngine* engine() const { return engine_.get(); }
  ActivationScheme scheme() const { return scheme_; }

  /// Whether the tokens can be appended.
  Status check_append(std::span<const TokenId> tokens) const {
    const int64_t room = engine_->context_length() - position();
    if (static_cast<int64_t>(tokens.size()) > room) {
      const auto count = fmt::format("{} token{}", tokens.size(), tokens.size() == 1 ? "" : "s");
      if (position() == 0)
        return usage_error("the prompt has {}, the context holds {}; use --ctx or a shorter prompt", count,
                           engine_->context_length());
      return usage_error("{} more do not fit: the context holds {}, {} are taken; --ctx makes it larger",
                         count, engine_->context_length(), position());
    }
    for (const TokenId id : tokens) {
      if (id < 0 || id >= engine_->vocabulary()) {
        return usage_error("token {} is outside the model's vocabulary of {}", id, engine_->vocabulary());
      }
    }
    return {};
  }

  /// A forward pass that appends to the session begins with making room, ...
  Status reserve(int64_t tokens) {
    return cache_.reserve(position() + tokens, position(), engine_->context_length());
  }
  const std::vector<KvView>& views() const { return cache_.views(); }
  /// ... and ends with this.
  void appended(std::span<const TokenId> tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }

  /// Hidden states [kept, width] to be filled.
  float* keep(int64_t kept) {
    kept_ = kept;
    hidden_.resize(kept * engine_->config().width);
    return hidden_.data();
  }
  int64_t kept() const { return kept_; }
  const float* hidden() const { return hidden_.data(); }

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
  std::vector<TokenId> tokens_;
  int64_t kept_ = 0;           ///< rows of hidden_
  std::vector<float> hidden_;  ///< [kept_, width]
  std::vector<float> slab_;    ///< [slab, vocabulary]
  std::vector<float> logits_;  ///< [vocabulary]
};

Result<std::unique_ptr<Session>> LoadedEngine::new_session(ActivationScheme scheme) {
  return std::unique_ptr<Session>(std::make_unique<LoadedSession>(shared_from_this(), scheme));
}

Status LoadedSession::copy_from(const Session& other, int64_t positions) {
  const auto* from = dynamic_cast<const LoadedSession*>(&other);
  if (!from || from->engine() != engine())
    return usage_error("a session can only be copied within its engine");
  if (from->scheme() != scheme_)
    return usage_error("a session of activation scheme {} cannot become one of {}",
                       activation_scheme_name(from->scheme()), activation_scheme_name(scheme_));
  if (positions < 0 || positions > from->position())
    return usage_error("{} positions cannot be copied from a session that holds {}", positions,
                       from->position());
  const auto wanted = from->tokens().first(positions);
  const int64_t same = std::ranges::mismatch(tokens_, wanted).in1 - tokens_.begin();
  CARAT_DO(reserve(positions - position()));
  truncate(same);
  if (same == positions) return {};
  cache_.copy(from->cache_, same, positions);
  appended(wanted.subspan(same));
  return {};
}

template <class Part>
Result<std::vector<LoadedSession*>> LoadedEngine::own_sessions(std::span<const Part> parts) const {
  std::vector<LoadedSession*> own;
  for (size_t i = 0; i < parts.size(); ++i) {
    own.push_back(dynamic_cast<LoadedSession*>(parts[i].session));
    if (!own[i] || own[i]->engine() != this) return usage_error("session {} is not of this engine", i);
    if (own[i]->scheme() != own[0]->scheme())
      return usage_error("sessions computed at once must have one activation scheme, not {} and {}",
                         activation_scheme_name(own[0]->scheme()), activation_scheme_name(own[i]->scheme()));
  }
  return own;
}

Status LoadedEngine::append(const Context& context, std::span<const SessionTokens> parts) {
  CARAT_TRY(const std::vector<LoadedSession*> sessions, own_sessions(parts));
  std::vector<LoadedSession*> distinct = sessions;
  std::ranges::sort(distinct);
  if (std::ranges::adjacent_find(distinct) != distinct.end())
    return usage_error("a session can be appended to only once at a time");
  for (size_t i = 0; i < parts.size(); ++i) {
    Status fits = sessions[i]->check_append(parts[i].tokens);
    if (!fits && parts.size() > 1) return std::move(fits).error().within(fmt::format("session {}", i));
    CARAT_DO(fits);
  }
  if (parts.empty()) return {};

  for (size_t i = 0; i < parts.size(); ++i)
    CARAT_DO(sessions[i]->reserve(static_cast<int64_t>(parts[i].tokens.size())));

  const Model with = model(context, sessions[0]->scheme());
  const int64_t width = config().width;
  std::vector<float*> hidden;  // where the next rows of each session go
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t n = static_cast<int64_t>(parts[i].tokens.size());
    hidden.push_back(sessions[i]->keep(std::clamp<int64_t>(parts[i].kept, 0, n)));
  }
  std::vector<size_t> owners;  // parts[owners[i]] owns segments_[i]
  size_t part = 0;
  int64_t done = 0;  // tokens of that part
  while (part < parts.size()) {
    if (Status go_on = context.check(); !go_on) {
      for (LoadedSession* session : sessions) session->keep(0);
      return go_on;
    }
    segments_.clear();
    owners.clear();
    int64_t rows = 0, kept_rows = 0;
    while (part < parts.size() && rows < max_forward_tokens) {
      const LoadedSession& session = *sessions[part];
      const std::span<const TokenId> tokens = parts[part].tokens;
      const int64_t n = static_cast<int64_t>(tokens.size());
      const int64_t count = std::min(max_forward_tokens - rows, n - done);
      if (count > 0) {
        const int64_t kept = std::clamp<int64_t>(done + count - (n - session.kept()), 0, count);
        segments_.push_back({tokens.subspan(done, count), session.position() + done, session.views(), kept});
        owners.push_back(part);
        rows += count;
        kept_rows += kept;
        done += count;
      }
      if (done == n) ++part, done = 0;
    }
    hidden_.resize(kept_rows * width);
    if (rows > 0) forward(context.pool, with, scratch_, segments_, hidden_.data());
    const float* from = hidden_.data();
    for (size_t i = 0; i < segments_.size(); ++i) {
      const int64_t floats = segments_[i].kept * width;
      hidden[owners[i]] = std::copy_n(from, floats, hidden[owners[i]]);
      from += floats;
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) sessions[i]->appended(parts[i].tokens);
  return {};
}

Status LoadedEngine::kept_logits(const Context& context, std::span<const KeptRows> rows, float* logits) {
  CARAT_TRY(const std::vector<LoadedSession*> sessions, own_sessions(rows));
  CARAT_DO(context.check());
  const int64_t width = config().width;
  int64_t count = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& [session, first, n] = rows[i];
    if (first < 0 || n < 0 || first + n > sessions[i]->kept())
      return error(Code::internal, "logits of kept tokens {} to {} asked for, where {} were kept", first,
                   first + n, sessions[i]->kept());
    count += n;
  }
  if (count == 0) return {};
  const float* hidden = sessions[0]->hidden() + rows[0].first * width;
  if (rows.size() > 1) {
    gathered_.resize(count * width);
    float* to = gathered_.data();
    for (size_t i = 0; i < rows.size(); ++i)
      to = std::copy_n(sessions[i]->hidden() + rows[i].first * width, rows[i].count * width, to);
    hidden = gathered_.data();
  }
  output_logits(context.pool, model(context, sessions[0]->scheme()), hidden, count, logits);
  return {};
}

Result<std::span<const float>> LoadedEngine::step(const Context& context, std::span<Session* const> sessions,
                                                  std::span<const TokenId> tokens) {
  if (sessions.empty() || sessions.size() != tokens.size())
    return usage_error("a step needs one token for each of its sessions, not {} for {}", tokens.size(),
                       sessions.size());
  std::vector<SessionTokens> parts;
  std::vector<KeptRows> rows;
  for (size_t i = 0; i < sessions.size(); ++i) {
    parts.push_back({sessions[i], tokens.subspan(i, 1), 1});
    rows.push_back({sessions[i], 0, 1});
  }
  CARAT_DO(append(context, parts));
  step_logits_.resize(sessions.size() * vocabulary());
  if (Status scored = kept_logits(context, rows, step_logits_.data()); !scored) {
    for (Session* session : sessions) session->truncate(session->position() - 1);
    return std::move(scored).error();
  }
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
  EngineOptions resolved = options;
  if (options.context == 0) resolved.context = std::min(own, default_context_limit);
  if (weights.positions.data && resolved.context > own)
    return usage_error("{}: has embeddings for {} positions, so that a context of {} cannot be",
                       checkpoint.source, own, resolved.context);
  weights.config.use_context(resolved.context);

  std::shared_ptr<const Tokenizer> tokenizer;
  if (checkpoint.metadata.has("tokenizer.ggml.model")) {
    auto made = Tokenizer::from_metadata(checkpoint.metadata);
    if (!made) return std::move(made).error().within(checkpoint.source);
    tokenizer = *std::move(made);
    if (const std::string note = Tokenizer::note_of(checkpoint.metadata); !note.empty())
      context.progress.note(fmt::format("{}: {}", checkpoint.source, note));
  }
  return std::shared_ptr<Engine>(std::make_shared<LoadedEngine>(std::move(checkpoint), std::move(weights),
                                                                std::move(tokenizer), *kernels, resolved));
}

}  // namespace carat
