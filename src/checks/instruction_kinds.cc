#include "checks/instruction_kinds.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "checks/language.h"
#include "checks/plain_text.h"
#include "checks/sentences.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace carat {

namespace {

// --- arguments ---

const json::value* argument(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v == nullptr || v->is_null() ? nullptr : v;
}
std::string text_of(const json::object& o, std::string_view key) {
  const json::value* v = argument(o, key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string();
}
int64_t number_of(const json::object& o, std::string_view key) {
  const json::value* v = argument(o, key);
  if (v == nullptr || !v->is_number()) return 0;
  return v->is_int64() ? v->get_int64() : static_cast<int64_t>(v->to_number<double>());
}
std::vector<std::string> texts_of(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  const json::value* v = argument(o, key);
  if (v == nullptr || !v->is_array()) return out;
  for (const json::value& item : v->get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

// --- patterns ---

using Span = Regex::Span;

/// Where a pattern matches, from left to right without overlap; nothing more once it exceeds its limit.
std::vector<Span> matches(const Regex& regex, std::string_view text) {
  constexpr uint32_t steps = 2'000'000;
  std::vector<Span> out;
  Regex::Searcher searcher(regex);
  searcher.limit_steps(steps);
  for (size_t at = 0; at <= text.size();) {
    const auto match = searcher.find(text, at);
    if (!match.ok() || !*match) break;
    const Span span = (**match)[0];
    out.push_back(span);
    at = span.end;
    if (span.end == span.begin) at += at < text.size() ? std::max<size_t>(1, utf8_length(text, at)) : 1;
  }
  return out;
}
/// For patterns written here.
std::vector<Span> matches(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern);
  return regex.ok() ? matches(*regex, text) : std::vector<Span>{};
}
bool found(std::string_view pattern, std::string_view text) { return !matches(pattern, text).empty(); }

/// What an item gives as a word is a pattern to the published checker; one that is none is taken literally.
Regex pattern_of(const std::string& word, std::string_view before, std::string_view after) {
  auto regex = Regex::compile(fmt::format("{}{}{}", before, clean_utf8(word), after));
  if (!regex) {
    std::string escaped;
    for (const char c : clean_utf8(word)) {
      if (is_ascii_punctuation(static_cast<uint8_t>(c))) escaped.push_back('\\');
      escaped.push_back(c);
    }
    regex = Regex::compile(fmt::format("{}{}{}", before, escaped, after));
  }
  return *std::move(regex);
}

std::vector<std::string_view> split(std::string_view text, const std::vector<Span>& separators) {
  std::vector<std::string_view> parts;
  size_t at = 0;
  for (const Span& s : separators) {
    parts.push_back(text.substr(at, s.begin - at));
    at = s.end;
  }
  parts.push_back(text.substr(at));
  return parts;
}
std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<Span> spans;
  for (size_t at = text.find(separator); at != std::string_view::npos;
       at = text.find(separator, spans.back().end)) {
    spans.push_back({at, at + separator.size()});
  }
  return split(text, spans);
}

// Python's isupper() and islower(): some letter has a case, and none has the other one.
bool one_case(std::string_view text, bool upper) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(text, at));
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(utf8_code_point(text, at, n)));
    const bool is_upper = category == UTF8PROC_CATEGORY_LU, is_lower = category == UTF8PROC_CATEGORY_LL;
    if (category == UTF8PROC_CATEGORY_LT || (upper ? is_lower : is_upper)) return false;
    any = any || is_upper || is_lower;
    at += n;
  }
  return any;
}

bool compares(const json::object& a, std::string_view relation, int64_t count, std::string_view limit) {
  return text_of(a, relation) == "less than" ? count < number_of(a, limit) : count >= number_of(a, limit);
}
int64_t size_of(const std::vector<Span>& spans) { return static_cast<int64_t>(spans.size()); }

// --- the kinds ---

using Arguments = const json::object&;
using Reply = const std::string&;
using Judgement = std::optional<bool>;

Judgement existence(Arguments a, Reply r) {
  const auto words = texts_of(a, "keywords");
  return std::all_of(words.begin(), words.end(),
                     [&](const auto& w) { return !matches(pattern_of(w, "(?i)", ""), r).empty(); });
}
Judgement frequency(Arguments a, Reply r) {
  const std::string word(trim(text_of(a, "keyword")));
  return compares(a, "relation", size_of(matches(pattern_of(word, "(?i)", ""), r)), "frequency");
}
Judgement forbidden_words(Arguments a, Reply r) {
  const auto words = texts_of(a, "forbidden_words");
  return std::all_of(words.begin(), words.end(),
                     [&](const auto& w) { return matches(pattern_of(w, "(?i)\\b", "\\b"), r).empty(); });
}
Judgement letter_frequency(Arguments a, Reply r) {
  const std::string letter = lower_case(trim(text_of(a, "letter"))), lower = lower_case(r);
  int64_t count = 0;
  for (size_t at = lower.find(letter); at != std::string::npos; at = lower.find(letter, at + letter.size()))
    ++count;
  return compares(a, "let_relation", count, "let_frequency");
}
Judgement response_language(Arguments a, Reply r) {
  const auto language = detect_language(r);
  if (!language) return std::nullopt;
  return *language == text_of(a, "language");
}
Judgement number_sentences(Arguments a, Reply r) {
  return compares(a, "relation", static_cast<int64_t>(count_sentences(r)), "num_sentences");
}
Judgement number_paragraphs(Arguments a, Reply r) {
  const auto parts = split(r, matches("\\s?\\*\\*\\*\\s?", r));
  auto count = static_cast<int64_t>(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!trim(parts[i]).empty()) continue;
    if (i > 0 && i + 1 < parts.size()) return false;
    --count;
  }
  return count == number_of(a, "num_paragraphs");
}
Judgement number_words(Arguments a, Reply r) {
  return compares(a, "relation", size_of(matches("\\w+", r)), "num_words");
}
Judgement nth_paragraph_first_word(Arguments a, Reply r) {
  const auto parts = split(r, "\n\n");
  int64_t count = 0;
  for (const auto p : parts) count += !trim(p).empty();
  const int64_t nth = number_of(a, "nth_paragraph");
  if (nth < 1 || nth > count) return false;
  const auto words = split_words(parts[static_cast<size_t>(nth - 1)]);
  if (words.empty()) return false;
  std::string_view word = words[0];
  for (const char quote : {'\'', '"'})
    word.remove_prefix(std::min(word.find_first_not_of(quote), word.size()));
  word = word.substr(0, word.find_first_of(".,?!'\""));
  return count == number_of(a, "num_paragraphs") && lower_case(word) == lower_case(text_of(a, "first_word"));
}
Judgement number_placeholders(Arguments a, Reply r) {
  return size_of(matches("\\[.*?\\]", r)) >= number_of(a, "num_placeholders");
}
Judgement postscript(Arguments a, Reply r) {
  const std::string marker(trim(text_of(a, "postscript_marker"))), lower = lower_case(r);
  if (marker == "P.P.S") return found("(?m)\\s*p\\.\\s?p\\.\\s?s.*$", lower);
  if (marker == "P.S.") return found("(?m)\\s*p\\.\\s?s\\..*$", lower);
  return !matches(pattern_of(lower_case(marker), "(?m)\\s*", ".*$"), lower).empty();
}
Judgement number_bullet_lists(Arguments a, Reply r) {
  return size_of(matches("(?m)^\\s*\\*[^\\*].*$", r)) + size_of(matches("(?m)^\\s*-.*$", r)) ==
         number_of(a, "num_bullets");
}
Judgement constrained_response(Arguments, Reply r) {
  return r.find("My answer is yes.") != std::string::npos ||
         r.find("My answer is no.") != std::string::npos ||
         r.find("My answer is maybe.") != std::string::npos;
}
Judgement number_highlighted_sections(Arguments a, Reply r) {
  int64_t count = 0;
  for (const Span& s : matches("\\*[^\\n\\*]*\\*", r)) {
    count += !trim(std::string_view(r).substr(s.begin + 1, s.end - s.begin - 2)).empty();
  }
  for (const Span& s : matches("\\*\\*[^\\n\\*]*\\*\\*", r)) {
    count += !trim(std::string_view(r).substr(s.begin + 2, s.end - s.begin - 4)).empty();
  }
  return count >= number_of(a, "num_highlights");
}
Judgement multiple_sections(Arguments a, Reply r) {
  const std::string marker(trim(text_of(a, "section_spliter")));
  return size_of(matches(pattern_of(marker, "\\s?", "\\s?\\d+\\s?"), r)) >= number_of(a, "num_sections");
}
Judgement json_format(Arguments, Reply r) {
  std::string_view text = trim(r);
  for (const std::string_view fence : {"```json", "```Json", "```JSON", "```"}) {
    if (text.starts_with(fence)) text.remove_prefix(fence.size());
  }
  if (text.ends_with("```")) text.remove_suffix(3);
  return parse_json(trim(text)).ok();
}
Judgement title(Arguments, Reply r) {
  for (const Span& s : matches("<<[^\\n]+>>", r)) {
    std::string_view inside = std::string_view(r).substr(s.begin, s.end - s.begin);
    inside.remove_prefix(std::min(inside.find_first_not_of('<'), inside.size()));
    inside = inside.substr(0, inside.find_last_not_of('>') + 1);
    if (!trim(inside).empty()) return true;
  }
  return false;
}
Judgement two_responses(Arguments, Reply r) {
  const auto parts = split(r, "******");
  std::vector<std::string_view> responses;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string_view part = trim(parts[i]);
    if (!part.empty()) {
      responses.push_back(part);
    } else if (i > 0 && i + 1 < parts.size()) {
      return false;
    }
  }
  return responses.size() == 2 && responses[0] != responses[1];
}
Judgement repeat_prompt(Arguments a, Reply r) {
  return lower_case(trim(r)).starts_with(lower_case(trim(text_of(a, "prompt_to_repeat"))));
}
Judgement end_checker(Arguments a, Reply r) {
  std::string_view text = trim(r);
  text.remove_prefix(std::min(text.find_first_not_of('"'), text.size()));
  text = text.substr(0, text.find_last_not_of('"') + 1);
  return lower_case(text).ends_with(lower_case(trim(text_of(a, "end_phrase"))));
}
Judgement quotation(Arguments, Reply r) {
  const std::string_view text = trim(r);
  return text.size() > 1 && text.front() == '"' && text.back() == '"';
}
Judgement no_comma(Arguments, Reply r) { return r.find(',') == std::string::npos; }

/// In one case and in English; of a text in another case the language does not matter.
Judgement english(Reply r, bool upper) {
  if (!one_case(r, upper)) return false;
  const auto language = detect_language(r);
  if (!language) return std::nullopt;
  return *language == "en";
}
Judgement english_capital(Arguments, Reply r) { return english(r, true); }
Judgement english_lowercase(Arguments, Reply r) { return english(r, false); }

/// NLTK's words (Penn Treebank), as far as their cases can tell: what it splits off is punctuation, and the
/// endings of contractions.
Judgement capital_word_frequency(Arguments a, Reply r) {
  const std::pair<std::string_view, std::string_view> rules[] = {
      {"[\xc2\xab\xc2\xbb\xe2\x80\x9c\xe2\x80\x9d\xe2\x80\x98\xe2\x80\x99\xe2\x80\x9e`\";@#$%&?!*\\[\\](){}<>"
       "]|''|--|\\.{2,}|"
       "[:,](?!\\d)",
       " "},
      {"'(?=\\s|$)|(?<![^\\s])'(?!(?i:re|ve|ll|m|t|s|d|n))(?=\\w\\b)", " "},
      {"(?=(?:'[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|(?<=\\w)(?:n't|N'T))(?:\\s|$))", " "}};
  std::string text = r;
  for (const auto& [pattern, space] : rules) {
    std::string out;
    for (const auto part : split(text, matches(pattern, text))) out.append(part).append(space);
    text = std::move(out);
  }
  int64_t count = 0;
  for (const auto word : split_words(text)) count += one_case(word, true);
  return compares(a, "capital_relation", count, "capital_frequency");
}

struct Kind {
  std::string_view name;
  Judgement (*follows)(Arguments, Reply);
  std::string_view texts, numbers, lists, relation;  ///< the arguments it needs, between spaces
};
constexpr Kind kKinds[] = {
    {"change_case:capital_word_frequency", capital_word_frequency, "", "capital_frequency", "",
     "capital_relation"},
    {"change_case:english_capital", english_capital, "", "", "", ""},
    {"change_case:english_lowercase", english_lowercase, "", "", "", ""},
    {"combination:repeat_prompt", repeat_prompt, "prompt_to_repeat", "", "", ""},
    {"combination:two_responses", two_responses, "", "", "", ""},
    {"detectable_content:number_placeholders", number_placeholders, "", "num_placeholders", "", ""},
    {"detectable_content:postscript", postscript, "postscript_marker", "", "", ""},
    {"detectable_format:constrained_response", constrained_response, "", "", "", ""},
    {"detectable_format:json_format", json_format, "", "", "", ""},
    {"detectable_format:multiple_sections", multiple_sections, "section_spliter", "num_sections", "", ""},
    {"detectable_format:number_bullet_lists", number_bullet_lists, "", "num_bullets", "", ""},
    {"detectable_format:number_highlighted_sections", number_highlighted_sections, "", "num_highlights", "",
     ""},
    {"detectable_format:title", title, "", "", "", ""},
    {"keywords:existence", existence, "", "", "keywords", ""},
    {"keywords:forbidden_words", forbidden_words, "", "", "forbidden_words", ""},
    {"keywords:frequency", frequency, "keyword", "frequency", "", "relation"},
    {"keywords:letter_frequency", letter_frequency, "letter", "let_frequency", "", "let_relation"},
    {"language:response_language", response_language, "language", "", "", ""},
    {"length_constraints:nth_paragraph_first_word", nth_paragraph_first_word, "first_word",
     "num_paragraphs nth_paragraph", "", ""},
    {"length_constraints:number_paragraphs", number_paragraphs, "", "num_paragraphs", "", ""},
    {"length_constraints:number_sentences", number_sentences, "", "num_sentences", "", "relation"},
    {"length_constraints:number_words", number_words, "", "num_words", "", "relation"},
    {"punctuation:no_comma", no_comma, "", "", "", ""},
    {"startend:end_checker", end_checker, "end_phrase", "", "", ""},
    {"startend:quotation", quotation, "", "", "", ""},
};

const Kind* find_kind(std::string_view name) {
  for (const Kind& k : kKinds) {
    if (k.name == name) return &k;
  }
  return nullptr;
}

}  // namespace

Status accepts_instruction(std::string_view kind, const json::object& arguments) {
  const Kind* k = find_kind(kind);
  if (k == nullptr) return bad_data("there is no instruction '{}'", kind);
  const auto needs = [&](std::string_view names, std::string_view what, auto fine) -> Status {
    for (const std::string_view name : split_words(names)) {
      if (!fine(name)) return bad_data("instruction '{}' needs {} '{}'", kind, what, name);
    }
    return {};
  };
  CARAT_DO(
      needs(k->texts, "a text", [&](std::string_view n) { return !trim(text_of(arguments, n)).empty(); }));
  CARAT_DO(needs(k->lists, "an array of texts",
                 [&](std::string_view n) { return !texts_of(arguments, n).empty(); }));
  CARAT_DO(needs(k->numbers, "a number", [&](std::string_view n) {
    const json::value* v = argument(arguments, n);
    return v != nullptr && v->is_number() && v->to_number<double>() >= 0 && v->to_number<double>() < 1e9;
  }));
  CARAT_DO(needs(k->relation, "'less than' or 'at least' in", [&](std::string_view n) {
    return text_of(arguments, n) == "less than" || text_of(arguments, n) == "at least";
  }));
  return {};
}

std::optional<bool> follows_instruction(std::string_view kind, const json::object& arguments,
                                        const std::string& reply) {
  const Kind* k = find_kind(kind);
  if (k == nullptr) return std::nullopt;
  return k->follows(arguments, reply);
}

}  // namespace carat
