// Who sits the exam: an engine of ours, or anything that speaks OpenAI's protocol. The runner asks a Subject
// and nothing else, so that every runtime gets the same questions and the same card.
//
// A reply that did not come is no answer: it says whether it cannot be had here (unscored: longer than the
// context, no log-probabilities) or whether the machinery failed (failed: a connection, garbage), which is
// asked again on resume. Errors (Status) are for what ends the run: interruption, a missing template where
// the user must decide, an endpoint that refuses everybody.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/context.h"
#include "cards/scorecard.h"
#include "suites/suite.h"

namespace carat {

/// What came of one request.
template <class T>
struct Reply {
  Outcome outcome = Outcome::failed;
  T value{};
  std::string reason;  ///< why there is no value

  void set(T v) {
    outcome = Outcome::scored;
    value = std::move(v);
  }
  void set_unscored(std::string why) {
    outcome = Outcome::unscored;
    reason = std::move(why);
  }
  void set_failed(std::string why) {
    outcome = Outcome::failed;
    reason = std::move(why);
  }
};

/// What is said before an answer: turns through the model's chat template, or a text as it is.
struct Question {
  std::vector<Turn> turns;  ///< with the system prompt first, if there is one; empty = `prompt`
  std::string prompt;
  const json::array* tools = nullptr;  ///< functions the model may call, as OpenAI describes them
};

struct LikelihoodQuestion {
  Question question;
  std::string continuation;
};

struct LikelihoodReply {
  double log_probability = 0;  ///< of the continuation, nats
  bool greedy = false;         ///< each of its tokens was the likeliest
  int64_t tokens = 0;          ///< of the continuation
  int64_t prompt_tokens = 0;   ///< before it
};

struct GenerationQuestion {
  Question question;
  GenerationSettings settings;
  uint64_t seed = 0;
};

/// One generated turn.
struct GeneratedText {
  std::string text;
  std::string reasoning;  ///< where an endpoint gives it apart from the text
  std::vector<std::pair<std::string, std::string>> tool_calls;  ///< name, arguments; the same
  bool truncated = false;                                       ///< ended for its length
  int64_t prompt_tokens = 0, tokens = 0;
  double first_token_seconds = 0, seconds = 0;  ///< from the request on; 0 where it was not measured
};

/// Sums over the predicted tokens of a text.
struct TextLossReply {
  double nll = 0;  ///< nats
  int64_t tokens = 0;
  std::optional<double> kl, same_top;  ///< with a reference: nats, count
};

class Subject {
 public:
  virtual ~Subject() = default;

  /// replies[i] answers questions[i], here and below, and does not depend on what else is asked at once.
  virtual Status likelihoods(const Context& context, std::span<const LikelihoodQuestion> questions,
                             std::span<Reply<LikelihoodReply>> replies) = 0;
  virtual Status text_losses(const Context& context, std::span<const std::string> texts,
                             std::span<Reply<TextLossReply>> replies) = 0;
  virtual Status generate(const Context& context, std::span<const GenerationQuestion> questions,
                          std::span<Reply<GeneratedText>> replies) = 0;

  /// What is asked, as a variant: model, digest, settings. The name is the user's to give.
  virtual const Variant& variant() const = 0;
  /// What the card should know besides: versions, kernels, metadata of the file.
  virtual const json::object& provenance() const = 0;
  virtual int64_t file_bytes() const = 0;  ///< 0 where unknown
  /// MemoryPlan as JSON; empty where the memory is another program's.
  virtual json::object planned_memory() const { return {}; }
  /// Questions worth asking at once at first; the runner finds its own measure from there.
  virtual int64_t questions_at_once() const = 0;
};

}  // namespace carat
