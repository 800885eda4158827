// How many sentences a text has, close to NLTK's English Punkt model (Kiss & Strunk 2006), which IFEval
// counts with: its rules, with a list of usual abbreviations in the place of its trained ones, and words seen
// in lower case in the same text in the place of its statistics of capitals.
#pragma once

#include <cstddef>
#include <string_view>

namespace carat {

/// Text must be valid UTF-8. Line ends are white space: a list without full stops is one sentence.
size_t count_sentences(std::string_view text);

}  // namespace carat
