#include "evaluate/engine_subject.h"

#include <algorithm>

#include "containers/quote.h"
#include "engine/chat.h"
#include "engine/generate_batch.h"
#include "evaluate/machine.h"
#include "evaluate/memory_plan.h"
#include "score/likelihood.h"
#include "score/text_loss.h"
#include "text/chat_template.h"

namespace carat {
namespace {

/// Whether a conversation with tools is rendered otherwise than without.
bool shows_tools(const ChatTemplate& format) {
  ChatOptions with;
  with.tools_json = R"([{"type":"function","function":{"name":"look_up_7391","description":"",)"
                    R"("parameters":{"type":"object","properties":{}}}}])";
  const auto spans = format.render({{"user", "?"}}, with);
  return spans && std::ranges::any_of(*spans, [](const TextSpan& span) {
           return span.text.find("look_up_7391") != std::string::npos;
         });
}

class EngineSubject final : public Subject {
 public:
  EngineSubject(std::shared_ptr<Engine> engine, const EngineSubjectOptions& options)
      : engine_(std::move(engine)), options_(options) {}

  Status start(const Context& context);

  Status likelihoods(const Context& context, std::span<const LikelihoodQuestion> questions,
                     std::span<Reply<LikelihoodReply>> replies) override;
  Status text_losses(const Context& context, std::span<const std::string> texts,
                     std::span<Reply<TextLossReply>> replies) override;
  Status generate(const Context& context, std::span<const GenerationQuestion> questions,
                  std::span<Reply<GeneratedText>> replies) override;

  const Variant& variant() const override { return variant_; }
  const json::object& provenance() const override { return provenance_; }
  int64_t file_bytes() const override { return static_cast<int64_t>(engine_->checkpoint().file_bytes); }
  json::object planned_memory() const override { return plan_.to_json(); }
  int64_t questions_at_once() const override { return options_.sequences_at_once; }

 private:
  /// The tokens of a question; Code::bad_data where the template refuses it, Code::usage where there is none.
  Result<std::vector<TokenId>> encode(const Question& question) const;
  Result<LikelihoodRequest> encode(const LikelihoodQuestion& question) const;

  std::shared_ptr<Engine> engine_;
  EngineSubjectOptions options_;
  std::shared_ptr<const ChatTemplate> format_;  ///< null where the model has none
  bool template_shows_tools_ = false;
  Variant variant_;
  json::object provenance_;
  MemoryPlan plan_;
};

Status EngineSubject::start(const Context& context) {
  const Checkpoint& checkpoint = engine_->checkpoint();
  if (!engine_->tokenizer())
    return bad_data("{}: the model has no tokenizer, so it cannot be asked anything", checkpoint.source);
  CARAT_TRY(const std::string source, checkpoint.metadata.string_or("tokenizer.chat_template", ""));
  if (!source.empty()) {
    auto format = ChatTemplate::parse(source);
    if (!format) return std::move(format).error().within(checkpoint.source);
    format_ = *std::move(format);
    template_shows_tools_ = shows_tools(*format_);
  }
  variant_.model = checkpoint.source;
  CARAT_TRY(variant_.model_digest, model_digest(context, checkpoint.files));
  variant_.settings = {{"encodings", encoding_mix(checkpoint)},
                       {"kv", kv_encoding_name(options_.kv)},
                       {"activations", engine_->activation_scheme()},
                       {"context", engine_->context_length()},
                       {"decoding", "unconstrained"},
                       {"tools", template_shows_tools_ ? "chat template" : "system prompt"}};
  CARAT_TRY(const Isa isa, chosen_isa());
  provenance_ = {{"file", file_evidence(checkpoint)},
                 {"kernels", isa_name(isa)},
                 {"threads", context.pool.threads()},
                 {"sequences_at_once", options_.sequences_at_once}};
  if (json::array errors = tensor_errors(checkpoint); !errors.empty())
    provenance_["tensors"] = std::move(errors);
  CARAT_TRY(plan_, plan_memory(*engine_, options_.sequences_at_once, GenerateBatchOptions().kv_bytes));
  if (options_.reference) {
    provenance_["reference"] = options_.reference->checkpoint().source;
    CARAT_TRY(const MemoryPlan beside, plan_memory(*options_.reference, 1, GenerateBatchOptions().kv_bytes));
    plan_ += beside;
  }
  return {};
}

/// Functions for models whose template has no place for them: the text that models trained for it know, in
/// the system prompt.
std::string tools_as_text(const json::array& tools) {
  std::string out =
      "You may call one or more functions to assist with the user query.\n\n"
      "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n";
  for (const json::value& tool : tools) out += json::serialize(tool) + "\n";
  return out +
         "</tools>\n\nFor each function call, return a json object with function name and arguments within "
         "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
         "<args-json-object>}\n</tool_call>";
}

Result<std::vector<TokenId>> EngineSubject::encode(const Question& question) const {
  const Tokenizer& tokenizer = *engine_->tokenizer();
  if (question.turns.empty()) {
    CARAT_TRY(std::vector<TokenId> tokens, tokenizer.encode(question.prompt, true, false));
    if (!tokens.empty() && tokenizer.adds_eos() && tokens.back() == tokenizer.eos()) tokens.pop_back();
    if (tokens.empty()) return usage_error("the prompt has no token");
    return tokens;
  }
  if (!format_) return usage_error("the model has no chat template");
  std::vector<ChatMessage> messages;
  for (const Turn& turn : question.turns) messages.push_back({turn.role, turn.content});
  std::string tools_json;
  if (question.tools && template_shows_tools_) tools_json = json::serialize(*question.tools);
  if (question.tools && !template_shows_tools_) {
    const bool has_system = messages.front().role == "system";
    if (!has_system) messages.insert(messages.begin(), {"system", ""});
    std::string& system = messages.front().content;
    system += (system.empty() ? "" : "\n\n") + tools_as_text(*question.tools);
  }
  return encode_chat(tokenizer, *format_, messages, std::move(tools_json));
}

Result<LikelihoodRequest> EngineSubject::encode(const LikelihoodQuestion& question) const {
  if (question.question.turns.empty())
    return encode_request(*engine_, question.question.prompt, question.continuation);
  LikelihoodRequest request;
  CARAT_TRY(request.context, encode(question.question));
  CARAT_TRY(request.continuation, engine_->tokenizer()->encode(question.continuation, false, false));
  if (request.continuation.empty()) return usage_error("the answer has no token of its own");
  return request;
}

Status EngineSubject::likelihoods(const Context& context, std::span<const LikelihoodQuestion> questions,
                                  std::span<Reply<LikelihoodReply>> replies) {
  std::vector<LikelihoodRequest> requests;
  std::vector<Reply<LikelihoodReply>*> asked;
  for (size_t i = 0; i < questions.size(); ++i) {
    auto request = encode(questions[i]);
    if (!request) {
      replies[i].set_unscored(request.error().message);
      continue;
    }
    // The last token of a continuation is predicted, never appended.
    const size_t tokens = request->context.size() + request->continuation.size();
    if (static_cast<int64_t>(tokens) > engine_->context_length() + 1) {
      replies[i].set_unscored(
          fmt::format("longer than the context: {} tokens, {} fit", tokens, engine_->context_length()));
      continue;
    }
    requests.push_back(*std::move(request));
    asked.push_back(&replies[i]);
  }
  std::vector<Likelihood> results(requests.size());
  if (!requests.empty()) CARAT_DO(score_likelihoods(context, *engine_, requests, results));
  for (size_t i = 0; i < asked.size(); ++i)
    asked[i]->set({results[i].log_probability, results[i].greedy, results[i].tokens,
                   static_cast<int64_t>(requests[i].context.size())});
  return {};
}

Status EngineSubject::text_losses(const Context& context, std::span<const std::string> texts,
                                  std::span<Reply<TextLossReply>> replies) {
  std::vector<TextLoss> losses(texts.size());
  CARAT_DO(score_texts(context, *engine_, options_.reference.get(), texts, {}, losses));
  for (size_t i = 0; i < texts.size(); ++i) {
    if (losses[i].tokens == 0) {
      replies[i].set_unscored("the text has no token");
      continue;
    }
    TextLossReply reply;
    reply.nll = losses[i].nll;
    reply.tokens = losses[i].tokens;
    if (options_.reference) {
      reply.kl = losses[i].kl;
      reply.same_top = static_cast<double>(losses[i].same_top);
    }
    replies[i].set(reply);
  }
  return {};
}

Status EngineSubject::generate(const Context& context, std::span<const GenerationQuestion> questions,
                               std::span<Reply<GeneratedText>> replies) {
  std::vector<GenerateRequest> requests;
  std::vector<Reply<GeneratedText>*> asked;
  for (size_t i = 0; i < questions.size(); ++i) {
    auto prompt = encode(questions[i].question);
    if (!prompt) {
      replies[i].set_unscored(prompt.error().message);
      continue;
    }
    if (static_cast<int64_t>(prompt->size()) > engine_->context_length()) {
      replies[i].set_unscored(fmt::format("longer than the context: {} tokens, {} fit", prompt->size(),
                                          engine_->context_length()));
      continue;
    }
    const GenerationSettings& s = questions[i].settings;
    GenerateRequest request;
    request.prompt = *std::move(prompt);
    request.options.max_tokens = s.max_tokens;
    request.options.stop = s.stop;
    request.options.sampler.temperature = static_cast<float>(s.temperature);
    request.options.sampler.top_k = s.top_k;
    request.options.sampler.top_p = static_cast<float>(s.top_p);
    request.options.sampler.min_p = static_cast<float>(s.min_p);
    request.options.sampler.seed = questions[i].seed;
    requests.push_back(std::move(request));
    asked.push_back(&replies[i]);
  }
  if (requests.empty()) return {};
  GenerateBatchOptions options;
  options.max_sequences = options_.sequences_at_once;
  return generate_batch(context, *engine_, requests, options, [&](size_t i, Generation&& g) -> Status {
    GeneratedText out;
    out.text = std::move(g.text);
    out.truncated = g.reason == StopReason::max_tokens || g.reason == StopReason::context_full;
    out.prompt_tokens = g.prompt_tokens;
    out.tokens = static_cast<int64_t>(g.tokens.size());
    out.first_token_seconds = g.prompt_seconds;
    out.seconds = g.prompt_seconds + g.token_seconds;
    asked[i]->set(std::move(out));
    return {};
  });
}

}  // namespace

Result<std::unique_ptr<Subject>> make_engine_subject(const Context& context, std::shared_ptr<Engine> engine,
                                                     const EngineSubjectOptions& options) {
  auto subject = std::make_unique<EngineSubject>(std::move(engine), options);
  CARAT_DO(subject->start(context));
  return std::unique_ptr<Subject>(std::move(subject));
}

}  // namespace carat
