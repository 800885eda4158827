// BERT's tokenizer (Devlin et al. 2018; Wu et al. 2016): text is cleaned, split at white space, punctuation
// and Chinese characters, and each word is cut from the left into the longest tokens; a word that cannot be
// cut to its end is one unknown token. GGUF writes tokens that begin a word with U+2581 and those that go on
// without "##". Which characters are what follows Hugging Face's BertNormalizer and BertPreTokenizer, which
// the models were trained with.
#include <algorithm>

#include "text/sentencepiece_text.h"
#include "text/text_model.h"

#include <utf8proc.h>

namespace carat {
namespace {

constexpr size_t longest_word = 100;  // characters; longer ones are unknown

enum class Class { dropped, space, alone, letter };

bool is_chinese(uint32_t c) {
  constexpr std::pair<uint32_t, uint32_t> blocks[] = {
      {0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
      {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
  return std::ranges::any_of(blocks, [&](const auto& b) { return c >= b.first && c <= b.second; });
}

Class class_of(uint32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return Class::space;
  if (c == 0 || c == 0xfffd) return Class::dropped;
  if (c < 0x80) {
    if (c < 0x20 || c == 0x7f) return Class::dropped;
    if (c == ' ') return Class::space;
    const bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    return word ? Class::letter : Class::alone;
  }
  if (is_chinese(c)) return Class::alone;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
      return Class::dropped;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return Class::space;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return Class::alone;
    default:
      return Class::letter;
  }
}

class WordPiece final : public TextModel {
 public:
  WordPiece(const Vocabulary& vocabulary, bool lowercase, bool strip_accents)
      : vocabulary_(vocabulary),
        beginnings_(vocabulary, ids_of(vocabulary, true)),
        continuations_(vocabulary, ids_of(vocabulary, false)),
        lowercase_(lowercase),
        strip_accents_(strip_accents) {}

  Status encode(std::string_view text, bool, EncodeScratch&, std::vector<TokenId>& out) const override {
    const std::string clean = normalised(text);
    std::string word(visible_space);
    size_t characters = 0;
    const auto end_word = [&] {
      if (characters > 0) encode_word(word, characters, out);
      word.resize(visible_space.size());
      characters = 0;
    };
    for (size_t at = 0; at < clean.size();) {
      const Character c = character_at(clean, at);
      const Class kind = class_of(c.code);
      if (kind == Class::space || kind == Class::alone) end_word();
      if (kind == Class::letter || kind == Class::alone) {
        word.append(clean, at, c.length);
        ++characters;
      }
      if (kind == Class::alone) end_word();
      at += c.length;
    }
    end_word();
    return {};
  }

  std::string bytes(TokenId id) const override {
    return with_spaces(vocabulary_.texts[static_cast<size_t>(id)]);
  }
  bool adds_space() const override { return true; }

 private:
  /// U+2581 marks the beginning of a word; in the middle of one it is a character like any other.
  static std::vector<TokenId> ids_of(const Vocabulary& vocabulary, bool beginnings) {
    std::vector<TokenId> ids;
    for (size_t id = 0; id < vocabulary.size(); ++id) {
      const std::string_view text = vocabulary.texts[id];
      const bool begins = text.starts_with(visible_space) && text.size() > visible_space.size();
      if (begins == beginnings) ids.push_back(static_cast<TokenId>(id));
    }
    return ids;
  }
  std::string normalised(std::string_view text) const;
  void encode_word(std::string_view word, size_t characters, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  TokenFinder beginnings_, continuations_;
  bool lowercase_, strip_accents_;
};

/// Valid UTF-8: without what is dropped, decomposed and without accents, in lower case.
std::string WordPiece::normalised(std::string_view text) const {
  std::string kept;
  bool ascii = true;
  for (size_t at = 0; at < text.size();) {
    const size_t n = utf8_length(text, at);
    // A byte that is no UTF-8 would be U+FFFD, which is dropped.
    if (n > 0 && class_of(utf8_code_point(text, at, n)) != Class::dropped) {
      kept.append(text, at, n);
      ascii &= n == 1;
    }
    at += std::max<size_t>(n, 1);
  }
  if (ascii) {
    if (lowercase_)
      std::ranges::transform(kept, kept.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return kept;
  }
  if (strip_accents_) {
    utf8proc_uint8_t* decomposed = nullptr;
    const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(kept.data()),
                                static_cast<utf8proc_ssize_t>(kept.size()), &decomposed,
                                static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE));
    if (n >= 0) kept.assign(reinterpret_cast<const char*>(decomposed), static_cast<size_t>(n));
    std::free(decomposed);
  }
  std::string out;
  out.reserve(kept.size());
  for (size_t at = 0; at < kept.size();) {
    const Character c = character_at(kept, at);
    at += c.length;
    const auto code = static_cast<utf8proc_int32_t>(c.code);
    if (strip_accents_ && utf8proc_category(code) == UTF8PROC_CATEGORY_MN) continue;
    append_utf8(lowercase_ ? static_cast<uint32_t>(utf8proc_tolower(code)) : c.code, out);
    // The only letter whose lower case is two characters.
    if (lowercase_ && c.code == 0x130) append_utf8(0x307, out);
  }
  return out;
}

void WordPiece::encode_word(std::string_view word, size_t characters, std::vector<TokenId>& out) const {
  const size_t before = out.size();
  size_t at = characters > longest_word ? word.size() : 0;
  while (at < word.size()) {
    size_t longest = 0;
    TokenId id = -1;
    const TokenFinder& finder = at == 0 ? beginnings_ : continuations_;
    finder.each_at(word, at, [&](size_t length, TokenId token) { longest = length, id = token; });
    if (longest == 0) break;
    out.push_back(id);
    at += longest;
  }
  if (at == word.size() && characters <= longest_word) return;
  out.resize(before);
  if (vocabulary_.unknown >= 0) out.push_back(vocabulary_.unknown);
}

}  // namespace

Result<std::unique_ptr<TextModel>> make_word_piece(const Metadata& metadata, const Vocabulary& vocabulary) {
  CARAT_TRY(const bool lowercase, metadata.bool_or("tokenizer.ggml.normalizer.lowercase", true));
  CARAT_TRY(const bool strip, metadata.bool_or("tokenizer.ggml.normalizer.strip_accents", lowercase));
  return std::unique_ptr<TextModel>(std::make_unique<WordPiece>(vocabulary, lowercase, strip));
}

}  // namespace carat
