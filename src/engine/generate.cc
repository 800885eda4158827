#include "engine/generate.h"

#include <chrono>

#include "engine/utf8_stream.h"

namespace carat {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<Generation> generate(const Context& context, const Engine& engine, Session& session,
                            std::span<const TokenId> history, std::span<const TokenId> prompt,
                            const GenerateOptions& options, const OnPiece& on_piece) {
  CARAT_DO(options.sampler.check());
  const Tokenizer* tokenizer = engine.tokenizer();
  if (!tokenizer)
    return bad_data("{}: the model has no tokenizer, so it cannot write text", engine.checkpoint().source);

  Generation out;
  out.prompt_tokens = static_cast<int64_t>(prompt.size());
  auto start = std::chrono::steady_clock::now();
  CARAT_TRY(std::span<const float> logits, session.append(context, prompt));
  out.prompt_seconds = seconds_since(start);

  std::vector<TokenId> all(history.begin(), history.end());
  all.insert(all.end(), prompt.begin(), prompt.end());
  Sampler sampler(options.sampler);
  Utf8Stream characters;
  const auto emit = [&](const std::string& piece) {
    out.text += piece;
    return piece.empty() || on_piece(piece);
  };

  start = std::chrono::steady_clock::now();
  while (true) {
    if (options.max_tokens >= 0 && static_cast<int64_t>(out.tokens.size()) >= options.max_tokens) {
      out.reason = StopReason::max_tokens;
      break;
    }
    const TokenId id = sampler.sample(logits, all);
    if (tokenizer->ends_generation(id)) {
      out.reason = StopReason::end_of_generation;
      break;
    }
    out.tokens.push_back(id);
    all.push_back(id);
    if (!emit(characters.push(tokenizer->token_bytes(id, options.show_special))) ||
        context.cancellation.requested()) {
      out.reason = StopReason::stopped;
      break;
    }
    if (session.position() >= engine.context_length()) {
      out.reason = StopReason::context_full;
      break;
    }
    auto next = session.append(context, {&id, 1});
    if (!next && next.error().code == Code::interrupted) {
      out.reason = StopReason::stopped;
      break;
    }
    if (!next) return std::move(next).error();
    logits = *next;
  }
  emit(characters.finish());
  out.token_seconds = seconds_since(start);
  return out;
}

}  // namespace carat
