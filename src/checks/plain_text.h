// What several checks do to text before they compare it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checks/check.h"
#include "checks/settings.h"

namespace carat {

/// The last reply, or nothing where there is none.
std::string_view last_reply(const Answer& answer);

/// Every byte that starts no valid UTF-8 becomes U+FFFD.
std::string clean_utf8(std::string_view text);
/// Without Unicode's White_Space at either end. Text must be valid UTF-8.
std::string_view trim(std::string_view text);
/// Simple case mapping, one character at a time. Text must be valid UTF-8.
std::string lower_case(std::string_view text);
std::string upper_case(std::string_view text);
/// Stretches between White_Space.
std::vector<std::string_view> split_words(std::string_view text);

bool is_white_space(uint32_t code_point);
/// Letters, marks, digits and the underscore: what regular expressions call \w.
bool is_word_character(uint32_t code_point);
/// string.punctuation of Python.
inline bool is_ascii_punctuation(uint32_t c) {
  return (c > 0x20 && c < 0x30) || (c > 0x39 && c < 0x41) || (c > 0x5a && c < 0x61) || (c > 0x7a && c < 0x7f);
}
/// At most `limit` bytes for readers, cut between characters.
std::string excerpt(std::string_view text, size_t limit = 200);

/// How SQuAD and TriviaQA compare answers (Rajpurkar et al. 2016; Joshi et al. 2017): in lower case, without
/// ASCII punctuation and typographic quotes, without a, an, the, with single spaces. Each can be left out.
struct Normalisation {
  bool ignore_case = false, ignore_punctuation = false, ignore_articles = false;

  /// From the settings `ignore_case`, `ignore_punctuation`, `ignore_articles`.
  static Normalisation read(Settings& settings);
  /// Any text; what comes out is valid UTF-8 and trimmed, every run of White_Space one space.
  std::string apply(std::string_view text) const;
};

/// Whether `expected` has accepted answers, in `answer` or `answers`, and what they are.
std::vector<std::string> accepted_answers(Settings& expected);

}  // namespace carat
