#include "checks/sentences.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "checks/plain_text.h"
#include "text/utf8.h"

namespace carat {

namespace {

constexpr std::string_view kAbbreviations[] = {
    "adm",  "aug",    "ave", "bldg", "blvd", "bros", "calif", "capt", "co",   "col",  "colo", "conn",
    "corp", "cpl",    "ct",  "dec",  "del",  "dr",   "feb",   "fla",  "ft",   "ga",   "gen",  "gov",
    "hon",  "ill",    "inc", "ind",  "jan",  "jr",   "kan",   "ky",   "lt",   "ltd",  "maj",  "mass",
    "md",   "messrs", "mg",  "mich", "minn", "mr",   "mrs",   "ms",   "mt",   "nev",  "nov",  "oct",
    "okla", "ore",    "pa",  "ph.d", "prof", "rep",  "reps",  "rev",  "sen",  "sens", "sep",  "sept",
    "sgt",  "sr",     "st",  "tenn", "tex",  "va",   "vs",    "vt",   "wash", "wis",  "yr"};
// Dotted ones that the model does not have, so that a sentence ends after them.
constexpr std::string_view kNotDotted[] = {"e.g", "i.e", "p.s", "p.p.s"};

// Words that, with a capital after an abbreviation, begin a sentence.
constexpr std::string_view kStarters[] = {
    "a",     "after",   "all",    "also",  "although", "an",    "and",   "another", "are",   "as",
    "at",    "because", "before", "but",   "by",       "can",   "do",    "even",    "every", "finally",
    "first", "for",     "from",   "he",    "here",     "his",   "how",   "however", "i",     "if",
    "in",    "is",      "it",     "its",   "last",     "let",   "many",  "most",    "my",    "no",
    "now",   "of",      "on",     "once",  "one",      "or",    "our",   "she",     "since", "so",
    "some",  "that",    "the",    "their", "then",     "there", "these", "they",    "this",  "those",
    "to",    "two",     "under",  "until", "we",       "what",  "when",  "where",   "while", "who",
    "why",   "with",    "yes",    "you",   "your"};

// Punctuation that may follow the end of a sentence without a space, and what separates tokens inside a word.
constexpr std::string_view kNonWord[] = {"?",
                                         "!",
                                         ")",
                                         "\"",
                                         ";",
                                         "}",
                                         "]",
                                         "*",
                                         ":",
                                         "@",
                                         "'",
                                         "(",
                                         "{",
                                         "[",
                                         "\xe2\x80\x98",
                                         "\xe2\x80\x99",
                                         "\xe2\x80\x9c",
                                         "\xe2\x80\x9d",
                                         "\xc2\xab",
                                         "\xc2\xbb"};
constexpr std::string_view kSeparators = "?!)\";}]*:@'({[`&#,";
constexpr std::string_view kClosing[] = {"\"",           "'",       ")", "]", "}", "\xe2\x80\x99",
                                         "\xe2\x80\x9d", "\xc2\xbb"};

/// Length of the one of `list` that `text` begins with; 0 where none.
template <size_t N>
size_t prefix_of(const std::string_view (&list)[N], std::string_view text) {
  for (const std::string_view item : list) {
    if (text.starts_with(item)) return item.size();
  }
  return 0;
}

template <size_t N>
bool among(const std::string_view (&list)[N], std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

struct Word {
  size_t begin, end;  // between white space
};

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for (const std::string_view w : split_words(text)) {
    const auto begin = static_cast<size_t>(w.data() - text.data());
    words.push_back({begin, begin + w.size()});
  }
  return words;
}

uint32_t first_character(std::string_view text) {
  return text.empty() ? 0 : utf8_code_point(text, 0, std::max<size_t>(1, utf8_length(text, 0)));
}
bool is_lower(std::string_view text) { return first_character(text) != first_character(upper_case(text)); }
bool is_upper(std::string_view text) { return first_character(text) != first_character(lower_case(text)); }

/// The first token of what is between white space, as far as it matters: its letters up to punctuation.
std::string_view first_token(std::string_view word) {
  return word.substr(0, std::min(word.find_first_of("?!)\";}]*:@({[,."), word.size()));
}

bool is_number(std::string_view word) {
  return !word.empty() && word.find_first_not_of("0123456789,.-") == std::string_view::npos &&
         word.find_first_of("0123456789") != std::string_view::npos;
}

/// Letters with full stops between them: "u.s", "a.m", "e.g".
bool is_dotted(std::string_view word) {
  if (word.size() < 3 || word.size() % 2 == 0) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (i % 2 == 0 ? !(word[i] >= 'a' && word[i] <= 'z') : word[i] != '.') return false;
  }
  return true;
}

class Counter {
 public:
  explicit Counter(std::string_view text) : text_(text), words_(words_of(text)) {
    for (const Word& w : words_) {
      const std::string_view token = first_token(text_.substr(w.begin, w.end - w.begin));
      if (is_lower(token)) lower_.emplace(token);
    }
  }

  size_t count() const {
    if (words_.empty()) return 0;
    // Where sentences begin and end, then closing quotes and brackets go back to the sentence they close.
    std::vector<Word> sentences;
    size_t begin = words_[0].begin;
    for (size_t i = 0; i < words_.size(); ++i) {
      const Word& w = words_[i];
      const size_t mark = last_mark(w, i + 1 < words_.size());
      if (mark == std::string_view::npos) continue;
      const bool inside = mark + 1 < w.end;
      const std::string_view next =
          inside ? text_.substr(mark + 1, prefix_of(kNonWord, text_.substr(mark + 1)))
                 : text_.substr(words_[i + 1].begin, words_[i + 1].end - words_[i + 1].begin);
      if (!ends_sentence(w.begin, mark, next)) continue;
      sentences.push_back({begin, mark + 1});
      begin = inside ? mark + 1 : words_[i + 1].begin;
    }
    sentences.push_back({begin, words_.back().end});
    size_t sum = 0, moved = 0;
    for (size_t i = 0; i < sentences.size(); ++i) {
      const Word s{sentences[i].begin + moved, sentences[i].end};
      moved = i + 1 < sentences.size() ? closing(sentences[i + 1]) : 0;
      sum += moved > 0 || s.begin < s.end;
    }
    return sum;
  }

 private:
  /// The last . ? or ! of a word that punctuation or white space follows.
  size_t last_mark(const Word& w, bool more_follows) const {
    for (size_t i = w.end; i-- > w.begin;) {
      if (text_[i] != '.' && text_[i] != '?' && text_[i] != '!') continue;
      if (i + 1 == w.end ? more_follows : prefix_of(kNonWord, text_.substr(i + 1)) > 0) return i;
    }
    return std::string_view::npos;
  }

  /// Length of the closing quotes and brackets, with the white space behind them, that a sentence begins
  /// with.
  size_t closing(const Word& sentence) const {
    size_t at = sentence.begin;
    while (at < sentence.end && prefix_of(kClosing, text_.substr(at)) > 0) {
      at += prefix_of(kClosing, text_.substr(at));
    }
    if (at == sentence.begin) return 0;
    if (at == sentence.end || text_.substr(at, 2) == "--") return at - sentence.begin;
    const size_t spaces = at;
    while (at < sentence.end && std::string_view(" \t\r\n").find(text_[at]) != std::string_view::npos) ++at;
    return at > spaces ? at - sentence.begin : 0;
  }

  bool seen_in_lower_case(std::string_view token) const {
    const std::string lower = lower_case(token);
    return among(kStarters, lower) || lower_.contains(lower);
  }

  bool ends_sentence(size_t begin, size_t mark, std::string_view next) const {
    if (text_[mark] != '.') return true;
    std::string_view before = text_.substr(begin, mark - begin);
    const std::string_view token = first_token(next);
    const bool capital = is_upper(token);
    if (before.ends_with(".")) return capital && seen_in_lower_case(token);  // an ellipsis
    const size_t separator = before.find_last_of(kSeparators);
    if (separator != std::string_view::npos) before.remove_prefix(separator + 1);
    const std::string word = lower_case(before);
    const size_t hyphen = word.rfind('-');
    const std::string_view tail =
        hyphen == std::string::npos ? word : std::string_view(word).substr(hyphen + 1);
    if (among(kAbbreviations, word) || among(kAbbreviations, tail) ||
        (is_dotted(word) && !among(kNotDotted, word))) {
      return capital && seen_in_lower_case(token);
    }
    const bool initial = !word.empty() && utf8_length(word, 0) == word.size() && !is_number(word) &&
                         is_word_character(first_character(word));
    if (!initial && !is_number(word)) return true;
    if (is_lower(token) || std::string_view(";:,.!?").find(next[0]) != std::string_view::npos) return false;
    return !(initial && capital && !seen_in_lower_case(token));
  }

  std::string_view text_;
  std::vector<Word> words_;
  std::set<std::string, std::less<>> lower_;
};

}  // namespace

size_t count_sentences(std::string_view text) { return Counter(text).count(); }

}  // namespace carat
