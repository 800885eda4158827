#include "score/vocabulary.h"

namespace carat {
namespace {

Result<std::vector<TokenId>> encode(const Engine& engine, std::string_view text, bool add_special) {
  if (!engine.tokenizer())
    return bad_data("{}: the model has no tokenizer, so it cannot read a text", engine.checkpoint().source);
  return engine.tokenizer()->encode(text, add_special, /*parse_special=*/false);
}

}  // namespace

Status check_same_vocabulary(const Engine& candidate, const Engine& reference) {
  const auto differ = [&](const std::string& how) {
    return usage_error("{} cannot be the reference of {}: {}", reference.checkpoint().source,
                       candidate.checkpoint().source, how);
  };
  if (candidate.vocabulary() != reference.vocabulary()) {
    return differ(
        fmt::format("its vocabulary has {} tokens, not {}", reference.vocabulary(), candidate.vocabulary()));
  }
  const Tokenizer* a = candidate.tokenizer();
  const Tokenizer* b = reference.tokenizer();
  if (!a || !b)
    return bad_data("{}: the model has no tokenizer, so its vocabulary cannot be compared",
                    (a ? reference : candidate).checkpoint().source);
  for (int64_t id = 0; id < candidate.vocabulary(); ++id) {
    const TokenId token = static_cast<TokenId>(id);
    if (a->token_bytes(token, true) != b->token_bytes(token, true)) {
      return differ(fmt::format("token {} is another in its vocabulary", id));
    }
  }
  if (candidate.wants_bos() != reference.wants_bos() || (candidate.wants_bos() && a->bos() != b->bos())) {
    return differ("it begins texts with another token");
  }
  return {};
}

Result<std::vector<TokenId>> encode_for_both(const Engine& candidate, const Engine* reference,
                                             std::string_view text, bool add_special) {
  CARAT_TRY(std::vector<TokenId> tokens, encode(candidate, text, add_special));
  if (reference) {
    CARAT_TRY(const std::vector<TokenId> again, encode(*reference, text, add_special));
    if (again != tokens)
      return usage_error("{} cannot be the reference of {}: it splits the text into other tokens",
                         reference->checkpoint().source, candidate.checkpoint().source);
  }
  return tokens;
}

}  // namespace carat
