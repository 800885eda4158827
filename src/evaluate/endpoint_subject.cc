#include "evaluate/endpoint_subject.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/digest.h"
#include "evaluate/prompt_logprobs.h"

namespace carat {
namespace {

/// Spaces at the end of a question belong to the answer, as in lm-evaluation-harness.
size_t context_bytes(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? 0 : last + 1;
}

class EndpointSubject final : public Subject {
 public:
  explicit EndpointSubject(std::unique_ptr<Endpoint> endpoint) : endpoint_(std::move(endpoint)) {
    variant_.model = endpoint_->url();
    variant_.settings = {{"endpoint_model", endpoint_->model()}, {"decoding", "unconstrained"}};
    // All that can be told apart from outside.
    variant_.model_digest =
        sha256_hex(fmt::format("{}\n{}", endpoint_->model(), json::serialize(endpoint_->description())));
    provenance_ = {{"endpoint", endpoint_->url()},
                   {"endpoint_model", endpoint_->model()},
                   {"endpoint_description", endpoint_->description()}};
  }

  Status likelihoods(const Context& context, std::span<const LikelihoodQuestion> questions,
                     std::span<Reply<LikelihoodReply>> replies) override {
    const auto in_chat = [](const LikelihoodQuestion& q) { return !q.question.turns.empty(); };
    if (!std::ranges::all_of(questions, in_chat)) CARAT_DO(find_out_about_logprobs(context));
    return endpoint_->for_each(questions.size(), [&](size_t worker, size_t i) -> Status {
      const LikelihoodQuestion& q = questions[i];
      if (in_chat(q)) {
        replies[i].set_unscored("an endpoint gives no log-probabilities of answers in a chat");
        return {};
      }
      const std::string prompt = q.question.prompt + q.continuation;
      return ask_logprobs(context, worker, prompt, replies[i], [&](const std::vector<PromptToken>& tokens) {
        const auto begin = static_cast<int64_t>(context_bytes(q.question.prompt));
        auto sum = continuation_logprob(tokens, begin);
        if (!sum) return replies[i].set_unscored(sum.error().message);
        replies[i].set({sum->log_probability, sum->greedy, sum->tokens, sum->tokens_before});
      });
    });
  }

  Status text_losses(const Context& context, std::span<const std::string> texts,
                     std::span<Reply<TextLossReply>> replies) override {
    CARAT_DO(find_out_about_logprobs(context));
    return endpoint_->for_each(texts.size(), [&](size_t worker, size_t i) -> Status {
      return ask_logprobs(context, worker, texts[i], replies[i], [&](const std::vector<PromptToken>& tokens) {
        TextLossReply loss;
        for (const PromptToken& token : tokens) {
          if (!token.known) continue;
          loss.nll -= token.log_probability;
          ++loss.tokens;
        }
        if (loss.tokens == 0) return replies[i].set_unscored("the text has no token that is predicted");
        replies[i].set(loss);
      });
    });
  }

  Status generate(const Context& context, std::span<const GenerationQuestion> questions,
                  std::span<Reply<GeneratedText>> replies) override {
    return endpoint_->for_each(questions.size(), [&](size_t worker, size_t i) -> Status {
      const bool chat = !questions[i].question.turns.empty();
      const std::string_view path = chat ? "chat/completions" : "completions";
      json::object body = generation_body(questions[i]);
      const bool streamed = streams_;
      if (streamed) {
        body["stream"] = true;
        body["stream_options"] = {{"include_usage", true}};
      }
      auto answer = endpoint_->generate(context, worker, path, body);
      if (streamed && !answer && answer.error().code == Code::no_input) {
        body.erase("stream");
        body.erase("stream_options");
        answer = endpoint_->generate(context, worker, path, body);
        if (answer) streams_ = false;  // that is what it refused
      }
      if (!answer) return take_failure(std::move(answer).error(), replies[i]);
      replies[i].set(*std::move(answer));
      return {};
    });
  }

  const Variant& variant() const override { return variant_; }
  const json::object& provenance() const override { return provenance_; }
  int64_t file_bytes() const override { return 0; }
  int64_t questions_at_once() const override { return 4 * endpoint_->requests_at_once(); }

 private:
  /// Only an interruption ends the run; everything else is told in the reply.
  template <class T>
  static Status take_failure(Error&& e, Reply<T>& reply) {
    if (e.code == Code::interrupted) return std::move(e);
    if (e.code == Code::usage)
      reply.set_unscored(std::move(e.message));
    else
      reply.set_failed(std::move(e.message));
    return {};
  }

  json::object generation_body(const GenerationQuestion& q) const {
    const GenerationSettings& s = q.settings;
    json::object body{{"model", endpoint_->model()},
                      {"max_tokens", s.max_tokens},
                      {"temperature", s.temperature},
                      {"top_p", s.top_p},
                      {"seed", static_cast<int64_t>(q.seed & 0x7fffffff)}};
    if (q.question.turns.empty()) {
      body["prompt"] = q.question.prompt;
    } else {
      json::array messages;
      for (const Turn& turn : q.question.turns)
        messages.push_back(json::object{{"role", turn.role}, {"content", turn.content}});
      body["messages"] = std::move(messages);
      if (q.question.tools) body["tools"] = *q.question.tools;
    }
    if (!s.stop.empty()) body["stop"] = json::value_from(s.stop);
    // Not OpenAI's, but most servers know them; sent only where the suite wants them.
    if (s.top_k > 0) body["top_k"] = s.top_k;
    if (s.min_p > 0) body["min_p"] = s.min_p;
    return body;
  }

  json::object echo_body(const std::string& prompt) const {
    // One token is generated and left out: several servers refuse to generate none.
    return {
        {"model", endpoint_->model()}, {"prompt", prompt}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 1},
        {"temperature", 0.0}};
  }

  template <class T, class Use>
  Status ask_logprobs(const Context& context, size_t worker, const std::string& prompt, Reply<T>& reply,
                      const Use& use) {
    if (!no_logprobs_.empty()) {
      reply.set_unscored(no_logprobs_);
      return {};
    }
    if (!probe_failed_.empty()) {
      reply.set_failed(probe_failed_);
      return {};
    }
    auto answer = endpoint_->post(context, worker, "completions", echo_body(prompt));
    if (!answer) return take_failure(std::move(answer).error(), reply);
    const auto tokens = read_prompt_logprobs(*answer, prompt);
    if (!tokens)
      reply.set_failed(tokens.error().message);
    else
      use(*tokens);
    return {};
  }

  Status find_out_about_logprobs(const Context& context);
  Result<std::vector<PromptToken>> probe(const Context& context, const std::string& prompt);

  std::unique_ptr<Endpoint> endpoint_;
  Variant variant_;
  json::object provenance_;
  std::atomic<bool> streams_ = true;  ///< as far as is known
  bool asked_about_logprobs_ = false;
  std::string no_logprobs_;   ///< why log-likelihoods cannot be had here
  std::string probe_failed_;  ///< why that could not be found out; it is asked again
};

Result<std::vector<PromptToken>> EndpointSubject::probe(const Context& context, const std::string& prompt) {
  CARAT_TRY(const json::value answer, endpoint_->post(context, 0, "completions", echo_body(prompt)));
  return read_prompt_logprobs(answer, prompt);
}

/// Two texts with the same beginning: a server that tells the truth gives that beginning the same
/// log-probabilities, which are not all one number. One that has only those of the generated token, or
/// invents some, would score chance on every task.
Status EndpointSubject::find_out_about_logprobs(const Context& context) {
  if (asked_about_logprobs_) return {};
  const std::string shared = "The sun rises in the east and sets in the west, and the moon";
  std::vector<PromptToken> tokens[2];
  const std::string endings[2] = {" follows it across the sky.", " 17 = zebra?"};
  const auto none = [&](std::string_view why) {
    no_logprobs_ = fmt::format("endpoint gives no prompt log-probabilities ({})", why);
    context.progress.note(
        fmt::format("{}: {}; tasks that need them are left unscored", endpoint_->url(), no_logprobs_));
  };
  for (int i = 0; i < 2; ++i) {
    auto answer = probe(context, shared + endings[i]);
    if (!answer && answer.error().code == Code::interrupted) return std::move(answer).error();
    probe_failed_ = !answer && answer.error().code == Code::io ? answer.error().message : "";
    if (!probe_failed_.empty()) return {};
    asked_about_logprobs_ = true;
    if (!answer) {
      none(answer.error().message);
      return {};
    }
    tokens[i] = *std::move(answer);
  }
  int64_t compared = 0;
  double lowest = 0, highest = -1e30;
  for (size_t i = 0; i < std::min(tokens[0].size(), tokens[1].size()); ++i) {
    const PromptToken &a = tokens[0][i], &b = tokens[1][i];
    if (a.end != b.end || a.end >= static_cast<int64_t>(shared.size())) break;
    if (!a.known || !b.known) continue;
    if (std::abs(a.log_probability - b.log_probability) > 0.1 + 0.05 * std::abs(a.log_probability)) {
      none("those of a text change with what comes after it");
      return {};
    }
    ++compared;
    lowest = std::min(lowest, a.log_probability);
    highest = std::max(highest, a.log_probability);
  }
  if (compared < 3 || highest - lowest < 1e-3) none("those it gives do not depend on the text");
  return {};
}

}  // namespace

std::unique_ptr<Subject> make_endpoint_subject(std::unique_ptr<Endpoint> endpoint) {
  return std::make_unique<EndpointSubject>(std::move(endpoint));
}

}  // namespace carat
