#include "engine/decoding.h"

#include <algorithm>
#include <utility>

namespace carat {

Status check_generate_options(const GenerateOptions& options) {
  CARAT_DO(options.sampler.check());
  if (std::ranges::any_of(options.stop, &std::string::empty))
    return usage_error("an empty stop text would end every answer before it begins");
  return {};
}

Decoding::Decoding(const Tokenizer& tokenizer, const GenerateOptions& options, std::vector<TokenId> tokens)
    : tokenizer_(&tokenizer),
      max_tokens_(options.max_tokens),
      show_special_(options.show_special),
      sampler_(options.sampler),
      stops_(options.stop),
      tokens_(std::move(tokens)) {}

std::optional<TokenId> Decoding::next(std::span<const float> logits, int64_t room, const OnPiece& on_piece) {
  const auto full = [&] {
    return max_tokens_ >= 0 && static_cast<int64_t>(out_.tokens.size()) >= max_tokens_;
  };
  const auto ends = [&](StopReason reason) {
    out_.reason = reason;
    return std::nullopt;
  };
  if (full()) return ends(StopReason::max_tokens);
  const TokenId id = sampler_.sample(logits, tokens_);
  if (tokenizer_->ends_generation(id)) return ends(StopReason::end_of_generation);
  out_.tokens.push_back(id);
  tokens_.push_back(id);
  const bool go_on = emit(characters_.push(tokenizer_->token_bytes(id, show_special_)), on_piece);
  if (stops_.found()) return ends(StopReason::stop_text);
  if (!go_on) return ends(StopReason::stopped);
  if (full()) return ends(StopReason::max_tokens);
  if (room <= 0) return ends(StopReason::context_full);
  return id;
}

Generation Decoding::finish(const OnPiece& on_piece, std::optional<StopReason> reason) {
  if (reason) out_.reason = *reason;
  emit(characters_.finish(), on_piece);
  const std::string held = stops_.finish();
  if (!held.empty()) on_piece(held);
  out_.text += held;
  return std::move(out_);
}

bool Decoding::emit(const std::string& piece, const OnPiece& on_piece) {
  const std::string free = stops_.push(piece);
  out_.text += free;
  return free.empty() || on_piece(free);
}

}  // namespace carat
