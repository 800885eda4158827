// What is to be seen in generated text whatever was asked: reasoning before the answer, and a text that
// goes round in circles.
#pragma once

#include <string>
#include <string_view>

namespace carat {

struct Written {
  std::string_view reasoning;  ///< between <think> and </think> (or to the end, where it is not closed)
  std::string_view answer;     ///< the rest, without white space at its begin where there was reasoning
};

/// Reasoning is what stands between the first <think>, with only white space before it, and the first
/// </think>; a </think> alone ends reasoning that the chat template began. Views into `text`.
Written divide_reasoning(std::string_view text);

/// Whether a text ends in at least four repetitions of one unit of up to 400 bytes that together have at
/// least 200 bytes: what a model that cannot stop writes. Looks at the last 4 KB only.
bool ends_in_a_loop(std::string_view text);

}  // namespace carat
