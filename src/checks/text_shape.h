// The shape of a reply rather than its content: what a reasoning model thought before it answered, and
// whether the text ended in a loop.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace carat {

struct ReasonedReply {
  std::string_view reasoning;  ///< between <think> and </think>, trimmed; empty where there is none
  std::string_view answer;     ///< what follows, trimmed; the whole text where there is no reasoning
  bool unfinished = false;     ///< <think> without </think>: all is reasoning, the answer is empty
};
/// Splits at the first </think>; a <think> before it must be the first thing of the text. Templates that open
/// the tag in the prompt give replies with the closing one only.
ReasonedReply split_reasoning(std::string_view reply);

/// Whether the text ends with the same stretch again and again, as models do that have lost their way: a
/// period of at most 1000 bytes, repeated at least four times and over at least 200 bytes; 400 bytes for
/// punctuation marks and spaces alone (tables, rules). Linear in the text.
bool looped(std::string_view text);

/// The rating in a judge's reply: the last [[7]] or [[7.5]] (MT-bench, Zheng et al. 2023), from 1 to `scale`;
/// nothing where there is none, which is no rating of 0.
std::optional<double> judge_rating(std::string_view reply, double scale = 10);

}  // namespace carat
