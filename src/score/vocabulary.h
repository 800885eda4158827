// Whether two models may be compared token by token.
#pragma once

#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace carat {

/// Logits of two models compare only if every id stands for the same token in both: Code::usage naming the
/// difference, Code::bad_data where one has no tokenizer.
Status check_same_vocabulary(const Engine& candidate, const Engine& reference);

/// The tokens of a text. reference may be null; Code::usage where it splits the text into others.
/// `add_special`: as Tokenizer::encode() has it.
Result<std::vector<TokenId>> encode_for_both(const Engine& candidate, const Engine* reference,
                                             std::string_view text, bool add_special);

}  // namespace carat
