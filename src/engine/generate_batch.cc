#include "engine/generate_batch.h"

#include "engine/decoding.h"

namespace carat {
namespace {

Status check(const Engine& engine, std::span<const GenerateRequest> requests,
             const GenerateBatchOptions& options) {
  if (!engine.tokenizer())
    return bad_data("{}: the model has no tokenizer, so it cannot write text", engine.checkpoint().source);
  if (options.max_sequences < 1)
    return usage_error("at least one sequence must be computed at a time, not {}", options.max_sequences);
  for (size_t i = 0; i < requests.size(); ++i) {
    const GenerateRequest& r = requests[i];
    if (r.prompt.empty()) return usage_error("request {} has no prompt", i);
    if (static_cast<int64_t>(r.prompt.size()) > engine.context_length())
      return usage_error("request {}: the prompt has {} tokens, the context holds {}", i, r.prompt.size(),
                         engine.context_length());
    for (const TokenId id : r.prompt) {
      if (id < 0 || id >= engine.vocabulary())
        return usage_error("request {}: token {} is outside the model's vocabulary of {}", i, id,
                           engine.vocabulary());
    }
    if (Status ok = check_generate_options(r.options); !ok)
      return std::move(ok).error().within(fmt::format("request {}", i));
  }
  return {};
}

}  // namespace

Status generate_batch(const Context& context, Engine& engine, std::span<const GenerateRequest> requests,
                      const GenerateBatchOptions& options, const OnGeneration& on_generation) {
  CARAT_DO(check(engine, requests, options));
  CARAT_TRY(const std::unique_ptr<Session> session, engine.new_session());
  for (size_t i = 0; i < requests.size(); ++i) {
    CARAT_DO(context.check());
    session->truncate(0);
    CARAT_TRY(Generation done, generate(context, engine, *session, {}, requests[i].prompt,
                                        requests[i].options, [](std::string_view) { return true; }));
    CARAT_DO(context.check());
    CARAT_DO(on_generation(i, std::move(done)));
  }
  return {};
}

}  // namespace carat
