// SentencePiece's unigram model (Kudo 2018): of all ways to cut the text into tokens the one whose scores
// (log probabilities) have the largest sum, found by dynamic programming over the characters (Viterbi): time
// and memory are linear in the text, times the longest token. Before that, characters are mapped (charsmap.h)
// and white space is brought into order, as SentencePiece's normalizer does.
#include <algorithm>
#include <cmath>
#include <limits>

#include "text/charsmap.h"
#include "text/sentencepiece_text.h"
#include "text/text_model.h"

namespace carat {
namespace {

constexpr std::string_view replacement_character = "\xef\xbf\xbd";
constexpr double unknown_penalty = 10;  // below the lowest score, SentencePiece's kUnkPenalty

class Unigram final : public TextModel {
 public:
  Unigram(const Vocabulary& vocabulary, Charsmap charsmap, bool add_space, bool merge_spaces)
      : vocabulary_(vocabulary),
        charsmap_(std::move(charsmap)),
        add_space_(add_space),
        merge_spaces_(merge_spaces),
        finder_(vocabulary, pieces(vocabulary)),
        joints_(vocabulary),
        has_bytes_(std::ranges::all_of(vocabulary.byte_tokens, [](TokenId id) { return id >= 0; })) {
    double lowest = std::numeric_limits<double>::max();
    for (size_t id = 0; id < vocabulary.size(); ++id) {
      if (vocabulary.types[id] == TokenType::normal)
        lowest = std::min(lowest, static_cast<double>(vocabulary.scores[id]));
    }
    unknown_score_ = (lowest < std::numeric_limits<double>::max() ? lowest : 0) - unknown_penalty;
  }

  Status encode(std::string_view text, bool, EncodeScratch& scratch,
                std::vector<TokenId>& out) const override;
  std::string bytes(TokenId id) const override { return bytes_of_piece(vocabulary_, id); }
  bool adds_space() const override { return add_space_; }

 private:
  static std::vector<TokenId> pieces(const Vocabulary& vocabulary) {
    std::vector<TokenId> ids;
    for (size_t id = 0; id < vocabulary.size(); ++id) {
      const TokenType type = vocabulary.types[id];
      if (type == TokenType::normal || type == TokenType::user_defined)
        ids.push_back(static_cast<TokenId>(id));
    }
    return ids;
  }
  std::string normalised(std::string_view text) const;
  /// Sums begin anew with a word, as in Hugging Face's tokenizers, so that of equal sums the same one stays.
  size_t end_of_words(std::string_view text, size_t begin) const {
    size_t end = joints_.end_of_piece(text, begin);
    while (end < text.size() && !text.substr(end).starts_with(visible_space))
      end = joints_.end_of_piece(text, end);
    return end;
  }
  void encode_piece(std::string_view piece, bool& after_unknown, std::vector<TokenId>& out) const;
  void append_unknown(std::string_view text, bool& after_unknown, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  Charsmap charsmap_;
  bool add_space_;
  bool merge_spaces_;  ///< runs of spaces are one, and there is none at either end
  TokenFinder finder_;
  Joints joints_;
  bool has_bytes_;  ///< unknown characters go out as bytes
  double unknown_score_ = 0;
};

std::string Unigram::normalised(std::string_view text) const {
  std::string out;
  out.reserve(text.size() + text.size() / 4 + visible_space.size());
  bool after_space = merge_spaces_, empty = true;
  for (size_t at = 0; at < text.size();) {
    Charsmap::Match match = charsmap_.longest_at(text, at);
    if (match.length == 0) {
      const size_t n = utf8_length(text, at);
      match = n > 0 ? Charsmap::Match{n, text.substr(at, n)} : Charsmap::Match{1, replacement_character};
    }
    at += match.length;
    std::string_view some = match.replacement;
    if (after_space) some.remove_prefix(std::min(some.find_first_not_of(' '), some.size()));
    // A text of nothing but extra spaces is empty, without a space in front of it.
    if (some.empty() && merge_spaces_) continue;
    if (empty && add_space_) out.append(visible_space);
    empty = false;
    for (const char c : some) c == ' ' ? out.append(visible_space) : out.append(1, c);
    after_space = merge_spaces_ && some.ends_with(' ');
  }
  while (merge_spaces_ && out.ends_with(visible_space)) out.resize(out.size() - visible_space.size());
  return out;
}

// Between special tokens every stretch is a text of its own, with a space before it, as in llama.cpp.
Status Unigram::encode(std::string_view text, bool, EncodeScratch& scratch, std::vector<TokenId>& out) const {
  if (text.size() >= size_t{1} << 31)
    return bad_data("a text of {} bytes is too long to tokenize", text.size());
  const std::string clean = normalised(text);
  return encode_pieces(
      clean, has_bytes_, [&](size_t begin) { return end_of_words(clean, begin); },
      [&](std::string_view piece, bool& after_unknown, std::vector<TokenId>& to) {
        encode_piece(piece, after_unknown, to);
      },
      scratch, out);
}

/// `after_unknown`: the unknown token was the last one put out; it stands for a run of unknown characters.
void Unigram::encode_piece(std::string_view piece, bool& after_unknown, std::vector<TokenId>& out) const {
  struct Best {
    double score = -std::numeric_limits<double>::infinity();  ///< of the best way to here
    uint32_t length = 0;                                      ///< of its last token
    TokenId id = -1;                                          ///< -1: an unknown character
  };
  std::vector<Best> best(piece.size() + 1);
  best[0].score = 0;
  for (size_t at = 0; at < piece.size();) {
    const size_t n = character_at(piece, at).length;
    const double score = best[at].score;
    bool whole_character = false;
    // Of equal sums the one whose last token begins first stays.
    const auto offer = [&](size_t length, TokenId id, double token_score) {
      Best& there = best[at + length];
      if (score + token_score > there.score) there = {score + token_score, static_cast<uint32_t>(length), id};
    };
    finder_.each_at(piece, at, [&](size_t length, TokenId id) {
      whole_character |= length == n;
      const auto token = static_cast<size_t>(id);
      // A user-defined piece is worth more than any way to cut it.
      offer(length, id,
            vocabulary_.types[token] == TokenType::user_defined
                ? 0.0
                : static_cast<double>(vocabulary_.scores[token]));
    });
    if (!whole_character) offer(n, -1, unknown_score_);
    at += n;
  }
  std::vector<size_t> ends;
  for (size_t at = piece.size(); at > 0; at -= best[at].length) ends.push_back(at);
  std::ranges::reverse(ends);
  for (const size_t end : ends) {
    const Best& token = best[end];
    if (token.id < 0) {
      append_unknown(piece.substr(end - token.length, token.length), after_unknown, out);
    } else {
      out.push_back(token.id);
      after_unknown = false;
    }
  }
}

void Unigram::append_unknown(std::string_view text, bool& after_unknown, std::vector<TokenId>& out) const {
  if (has_bytes_) {
    for (const char c : text) out.push_back(vocabulary_.byte_tokens[static_cast<uint8_t>(c)]);
    return;
  }
  if (!after_unknown && vocabulary_.unknown >= 0) out.push_back(vocabulary_.unknown);
  after_unknown = true;
}

}  // namespace

Result<std::string> charsmap_blob(const Metadata& metadata) {
  constexpr std::string_view key = "tokenizer.ggml.precompiled_charsmap";
  std::string blob;
  const Value* value = metadata.find(key);
  if (!value) return blob;
  const Array* array = std::get_if<Array>(&value->data);
  if (!array || (array->element != ValueType::u8 && array->element != ValueType::i8))
    return bad_data("{} is no array of bytes", key);
  for (const uint64_t byte : array->unsigneds) blob.push_back(static_cast<char>(byte));
  for (const int64_t byte : array->signeds) blob.push_back(static_cast<char>(byte));
  return blob;
}

Result<std::unique_ptr<TextModel>> make_unigram(const Metadata& metadata, const Vocabulary& vocabulary) {
  if (vocabulary.scores.empty())
    return bad_data("tokenizer.ggml.scores is missing; the best cut goes by them");
  for (size_t id = 0; id < vocabulary.scores.size(); ++id) {
    if (!std::isfinite(vocabulary.scores[id])) return bad_data("tokenizer.ggml.scores[{}] is not finite", id);
  }
  CARAT_TRY(const std::string blob, charsmap_blob(metadata));
  auto charsmap = Charsmap::parse(blob);
  if (!charsmap) return std::move(charsmap).error().within("tokenizer.ggml.precompiled_charsmap");
  CARAT_TRY(const bool add_space, metadata.bool_or("tokenizer.ggml.add_space_prefix", true));
  CARAT_TRY(const bool merge, metadata.bool_or("tokenizer.ggml.remove_extra_whitespaces", false));
  return std::unique_ptr<TextModel>(
      std::make_unique<Unigram>(vocabulary, std::move(*charsmap), add_space, merge));
}

}  // namespace carat
