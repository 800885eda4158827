// The narrow public face of running a model: an Engine holds weights, a Session one conversation's state.
// No tensors here, so that programs and servers need not know of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "kernels/kernels.h"
#include "text/tokenizer.h"

namespace carat {

/// Rows of logits that are worth computing at once: enough to reuse each output weight, bounded memory (32
/// MB).
int64_t logit_slab_rows(int64_t vocabulary);

struct EngineOptions {
  int64_t context = 0;  ///< positions; 0 = the model's own, at most 4096; more than its own: a note
  ActivationScheme activations = ActivationScheme::int8_block;  ///< see kernels.h
  KvEncoding kv = KvEncoding::f16;                              ///< how sessions keep keys and values
};

class Session;

/// One session's part of Engine::append().
struct SessionTokens {
  Session* session = nullptr;
  std::span<const TokenId> tokens;
  int64_t kept = 0;  ///< the final hidden states of the last so many are kept, for Engine::kept_logits()
};

/// Some of the tokens whose hidden states a session keeps.
struct KeptRows {
  Session* session = nullptr;
  int64_t first = 0, count = 0;  ///< first counts from the first kept token
};

class Engine {
 public:
  /// Takes the checkpoint over; weights stay in the mapped file where they can.
  static Result<std::shared_ptr<Engine>> load(const Context& context, Checkpoint checkpoint,
                                              const EngineOptions& options);
  virtual ~Engine() = default;
  /// As given to load(), with the context found there where none was given.
  virtual const EngineOptions& options() const = 0;
  virtual const Checkpoint& checkpoint() const = 0;
  virtual const Tokenizer* tokenizer() const = 0;  ///< null where the file has none
  virtual int64_t vocabulary() const = 0;
  virtual int64_t context_length() const = 0;
  /// Memory that the keys and values of a session with so many positions take.
  virtual int64_t kv_bytes(int64_t positions) const = 0;
  virtual bool wants_bos() const = 0;
  virtual std::string_view activation_scheme() const = 0;
  /// A new, empty session. Sessions share weights and work space; one at a time may be computing.
  virtual Result<std::unique_ptr<Session>> new_session() = 0;
  /// The same with another activation scheme than the engine's own.
  virtual Result<std::unique_ptr<Session>> new_session(ActivationScheme scheme) = 0;
  /// Appends to many sessions at once, to each any number of tokens: each session has the bits it would have
  /// alone, but the weights are read once for max_forward_tokens tokens, whosever they are. The sessions may
  /// be at any positions. On an error all are as they were before: a session of another engine or given
  /// twice; different activation schemes; a token outside the vocabulary; a full context; no
  /// memory for keys and values (all Code::usage); cancellation.
  virtual Status append(const Context& context, std::span<const SessionTokens> parts) = 0;
  /// Logits [sum of counts, vocabulary] of tokens that sessions of one activation scheme keep, in the order
  /// of `rows`. The hidden states are kept, not the logits, because these are far larger; logit_slab_rows()
  /// of them are worth computing at once.
  virtual Status kept_logits(const Context& context, std::span<const KeptRows> rows, float* logits) = 0;
  /// append() of one token to each of at least one session; returns their logits [sessions, vocabulary]
  /// (valid until the next step).
  virtual Result<std::span<const float>> step(const Context& context, std::span<Session* const> sessions,
                                              std::span<const TokenId> tokens) = 0;
};

class Session {
 public:
  virtual ~Session() = default;
  /// What the session holds: all tokens appended and not forgotten.
  virtual std::span<const TokenId> tokens() const = 0;
  int64_t position() const { return static_cast<int64_t>(tokens().size()); }
  /// Appends tokens (at least one) and returns logits [vocabulary] of the last one (valid until the next
  /// call). On an error, here and below, the session is as it was before: a token outside the vocabulary,
  /// more tokens than the context or the memory has room for (both Code::usage), cancellation.
  virtual Result<std::span<const float>> append(const Context& context, std::span<const TokenId> tokens) = 0;
  /// Appends tokens; logits of every token from index `first_scored` on are handed, in order and in slabs, to
  /// the sink: sink(index, count, logits[count * vocabulary]).
  virtual Status append_scored(const Context& context, std::span<const TokenId> tokens, int64_t first_scored,
                               const std::function<Status(int64_t, int64_t, const float*)>& sink) = 0;
  /// append_scored() in two steps, for callers that compare sessions row by row: Engine::append() for this
  /// session alone, which keeps the hidden states of the tokens from index `first_kept` on ...
  virtual Status append_kept(const Context& context, std::span<const TokenId> tokens, int64_t first_kept) = 0;
  /// ... of which this writes logits [count, vocabulary]; `first` counts from the first kept token.
  virtual Status kept_logits(const Context& context, int64_t first, int64_t count, float* logits) = 0;
  /// Forgets everything from position on (0 = all).
  virtual void truncate(int64_t position) = 0;
  /// Becomes what `other` was after its first `positions` tokens, in place of what it held. What both began
  /// with is not copied. Code::usage for a session of another engine or activation scheme, or that holds
  /// fewer tokens.
  virtual Status copy_from(const Session& other, int64_t positions) = 0;
};

}  // namespace carat
