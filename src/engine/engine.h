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

struct EngineOptions {
  int64_t context = 0;         ///< positions; 0 = the model's own, at most 4096 unless asked for
  ActivationScheme activations = ActivationScheme::int8_32;  ///< see kernels.h
};

class Session;

class Engine {
 public:
  /// Takes the checkpoint over; weights stay in the mapped file where they can.
  static Result<std::shared_ptr<Engine>> load(const Context& context, Checkpoint checkpoint,
                                              const EngineOptions& options);
  virtual ~Engine() = default;
  virtual const Checkpoint& checkpoint() const = 0;
  virtual const Tokenizer* tokenizer() const = 0;  ///< null where the file has none
  virtual int64_t vocabulary() const = 0;
  virtual int64_t context_length() const = 0;
  virtual bool wants_bos() const = 0;
  virtual std::string_view activation_scheme() const = 0;
  /// A new, empty session. Sessions share weights; one at a time may be computing.
  virtual Result<std::unique_ptr<Session>> new_session() = 0;
};

class Session {
 public:
  virtual ~Session() = default;
  virtual int64_t position() const = 0;
  /// Appends tokens and returns logits [vocabulary] of the last one (valid until the next call).
  virtual Result<std::span<const float>> append(const Context& context, std::span<const TokenId> tokens) = 0;
  /// Appends tokens; logits of every token from index `first_scored` on are handed, in order and in slabs, to
  /// the sink: sink(index, count, logits[count * vocabulary]).
  virtual Status append_scored(const Context& context, std::span<const TokenId> tokens, int64_t first_scored,
                               const std::function<Status(int64_t, int64_t, const float*)>& sink) = 0;
  /// Forgets everything from position on (0 = all).
  virtual void truncate(int64_t position) = 0;
};

}  // namespace carat
