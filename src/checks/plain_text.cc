#include "checks/plain_text.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace carat {

namespace {

/// Calls f(code point, its bytes) for every character of valid UTF-8.
template <class F>
void for_each_character(std::string_view text, F f) {
  for (size_t at = 0; at < text.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(text, at));
    f(utf8_code_point(text, at, n), text.substr(at, n));
    at += n;
  }
}

bool is_dropped_punctuation(uint32_t c) {
  return is_ascii_punctuation(c) || c == 0x2018 || c == 0x2019 || c == 0xb4;
}

}  // namespace

std::string_view last_reply(const Answer& answer) {
  return answer.replies.empty() ? std::string_view() : std::string_view(answer.replies.back());
}

std::string clean_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t valid = valid_utf8_prefix(text, at);
    out.append(text.substr(at, valid));
    at += valid;
    if (at < text.size()) append_utf8(0xfffd, out), ++at;
  }
  return out;
}

bool is_white_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  if (c == 0x85) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool is_word_character(uint32_t c) {
  if (c < 0x80) return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
}

std::string_view trim(std::string_view text) {
  size_t begin = text.size(), end = 0, at = 0;
  for_each_character(text, [&](uint32_t c, std::string_view bytes) {
    if (!is_white_space(c)) {
      begin = std::min(begin, at);
      end = at + bytes.size();
    }
    at += bytes.size();
  });
  return end == 0 ? std::string_view() : text.substr(begin, end - begin);
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](uint32_t c, std::string_view) {
    append_utf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  });
  return out;
}

std::string upper_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](uint32_t c, std::string_view) {
    append_utf8(static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
  });
  return out;
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  size_t at = 0, begin = 0;
  const auto close = [&] {
    if (at > begin) words.push_back(text.substr(begin, at - begin));
  };
  for_each_character(text, [&](uint32_t c, std::string_view bytes) {
    if (is_white_space(c)) {
      close();
      begin = at + bytes.size();
    }
    at += bytes.size();
  });
  close();
  return words;
}

std::string excerpt(std::string_view text, size_t limit) {
  if (text.size() <= limit) return clean_utf8(text);
  while (limit > 0 && (static_cast<uint8_t>(text[limit]) & 0xc0) == 0x80) --limit;
  return clean_utf8(text.substr(0, limit)) + "...";
}

Normalisation Normalisation::read(Settings& settings) {
  return {.ignore_case = settings.flag("ignore_case", false),
          .ignore_punctuation = settings.flag("ignore_punctuation", false),
          .ignore_articles = settings.flag("ignore_articles", false)};
}

std::string Normalisation::apply(std::string_view text) const {
  std::string cleaned = clean_utf8(text);
  if (ignore_case) cleaned = lower_case(cleaned);
  std::string kept;
  std::string word;  // the run of word characters being read, kept back until it is known to be no article
  const auto close = [&] {
    const std::string lower = ignore_articles ? lower_case(word) : "";
    kept += ignore_articles && (lower == "a" || lower == "an" || lower == "the") ? " " : word;
    word.clear();
  };
  for_each_character(cleaned, [&](uint32_t c, std::string_view bytes) {
    if (ignore_punctuation && is_dropped_punctuation(c)) return;
    if (is_word_character(c)) {
      word += bytes;
      return;
    }
    close();
    kept += bytes;
  });
  close();
  return fmt::format("{}", fmt::join(split_words(kept), " "));
}

std::vector<std::string> accepted_answers(Settings& expected) {
  std::vector<std::string> answers = expected.texts("answers");
  if (expected.has("answer")) answers.push_back(expected.text("answer", ""));
  return answers;
}

}  // namespace carat
