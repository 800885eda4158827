#include "engine/generate.h"

#include "base/stopwatch.h"
#include "engine/decoding.h"

namespace carat {
Result<Generation> generate(const Context& context, const Engine& engine, Session& session,
                            std::span<const TokenId> history, std::span<const TokenId> prompt,
                            const GenerateOptions& options, const OnPiece& on_piece) {
  CARAT_DO(check_generate_options(options));
  const Tokenizer* tokenizer = engine.tokenizer();
  if (!tokenizer)
    return bad_data("{}: the model has no tokenizer, so it cannot write text", engine.checkpoint().source);

  Stopwatch watch;
  CARAT_TRY(std::span<const float> logits, session.append(context, prompt));
  const double prompt_seconds = watch.seconds();

  std::vector<TokenId> all(history.begin(), history.end());
  all.insert(all.end(), prompt.begin(), prompt.end());
  Decoding decoding(*tokenizer, options, std::move(all));
  const OnPiece until_cancelled = [&](std::string_view piece) {
    return on_piece(piece) && !context.cancellation.requested();
  };
  std::optional<StopReason> reason;
  watch.restart();
  while (const auto id =
             decoding.next(logits, engine.context_length() - session.position(), until_cancelled)) {
    auto next = session.append(context, {&*id, 1});
    if (!next && next.error().code != Code::interrupted) return std::move(next).error();
    if (!next) {
      reason = StopReason::stopped;
      break;
    }
    logits = *next;
  }
  Generation out = decoding.finish(on_piece, reason);
  out.prompt_tokens = static_cast<int64_t>(prompt.size());
  out.prompt_seconds = prompt_seconds;
  out.token_seconds = watch.seconds();
  return out;
}

}  // namespace carat
