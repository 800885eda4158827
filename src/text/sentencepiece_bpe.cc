// SentencePiece's BPE (Kudo and Richardson 2018): no words; spaces become U+2581, and of all neighbours whose
// concatenation is a token the pair with the highest score (leftmost among equals) is merged. Characters that
// are no token go out as byte tokens <0xHH>.
#include <algorithm>
#include <bit>

#include "text/merge_queue.h"
#include "text/sentencepiece_text.h"
#include "text/text_model.h"

namespace carat {
namespace {

/// Rises as the score falls. A zero has one order, whatever its sign; the vocabulary has no NaN.
uint32_t order_of_score(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
  return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

class SentencePieceBpe final : public TextModel {
 public:
  SentencePieceBpe(const Vocabulary& vocabulary, bool add_space)
      : vocabulary_(vocabulary), add_space_(add_space), joints_(vocabulary) {
    for (size_t id = 0; id < vocabulary.size(); ++id)
      longest_ = std::max(longest_, vocabulary.texts[id].size());
    has_bytes_ = std::ranges::all_of(vocabulary.byte_tokens, [](TokenId id) { return id >= 0; });
  }

  Status encode(std::string_view text, bool at_start, EncodeScratch& scratch,
                std::vector<TokenId>& out) const override;

  std::string bytes(TokenId id) const override { return bytes_of_piece(vocabulary_, id); }
  bool adds_space() const override { return add_space_; }

 private:
  void encode_piece(std::string_view piece, bool& after_unknown, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  bool add_space_;
  bool has_bytes_ = false;  ///< every byte has a token, so nothing is unknown
  size_t longest_ = 0;      ///< bytes of the longest token
  Joints joints_;
};

Status SentencePieceBpe::encode(std::string_view text, bool at_start, EncodeScratch& scratch,
                                std::vector<TokenId>& out) const {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 4 + 3);
  if (add_space_ && at_start) escaped.append(visible_space);
  for (const char c : text) c == ' ' ? escaped.append(visible_space) : escaped.append(1, c);
  if (escaped.size() >= size_t{1} << 31)
    return bad_data("a text of {} bytes is too long to tokenize", text.size());

  return encode_pieces(
      escaped, has_bytes_, [&](size_t begin) { return joints_.end_of_piece(escaped, begin); },
      [&](std::string_view piece, bool& after_unknown, std::vector<TokenId>& to) {
        encode_piece(piece, after_unknown, to);
      },
      scratch, out);
}

/// `after_unknown`: the unknown token was the last one put out; it stands for a run of unknown characters.
void SentencePieceBpe::encode_piece(std::string_view escaped, bool& after_unknown,
                                    std::vector<TokenId>& out) const {
  struct Node {
    uint32_t begin, length;  ///< length 0 once merged into its left neighbour
    int32_t previous, next;
  };
  std::vector<Node> nodes;
  for (size_t at = 0; at < escaped.size();) {
    const size_t n = character_at(escaped, at).length;
    const auto index = static_cast<int32_t>(nodes.size());
    nodes.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(n), index - 1, index + 1});
    at += n;
  }
  nodes.back().next = -1;

  // By score, highest first, and position of the left symbol; with it goes the length of both together, which
  // tells whether the pair has changed meanwhile.
  MergeQueue queue;
  const auto text_of = [&](uint32_t begin, uint32_t length) { return escaped.substr(begin, length); };
  const auto push = [&](int32_t left) {
    if (left < 0 || nodes[static_cast<size_t>(left)].next < 0) return;
    const Node& a = nodes[static_cast<size_t>(left)];
    const uint32_t length = a.length + nodes[static_cast<size_t>(a.next)].length;
    if (length > longest_) return;
    const TokenId id = vocabulary_.texts.find(text_of(a.begin, length));
    if (id < 0) return;
    queue.push(order_of_score(vocabulary_.scores[static_cast<size_t>(id)]),
               uint64_t{static_cast<uint32_t>(left)} << 32 | length);
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(nodes.size()); ++i) push(i);
  while (!queue.empty()) {
    const uint64_t place = queue.pop().second;
    const auto left = static_cast<int32_t>(place >> 32);
    const auto length = static_cast<uint32_t>(place);
    Node& node = nodes[static_cast<size_t>(left)];
    if (node.length == 0 || node.next < 0) continue;
    Node& right = nodes[static_cast<size_t>(node.next)];
    if (node.length + right.length != length) continue;
    node.length = length;
    right.length = 0;
    node.next = right.next;
    if (node.next >= 0) nodes[static_cast<size_t>(node.next)].previous = left;
    push(node.previous);
    push(left);
  }

  for (int32_t i = 0; i >= 0; i = nodes[static_cast<size_t>(i)].next) {
    const Node& node = nodes[static_cast<size_t>(i)];
    const std::string_view piece = text_of(node.begin, node.length);
    const TokenId id = vocabulary_.texts.find(piece);
    bool unknown = false;
    if (id >= 0) {
      out.push_back(id);
    } else {
      unknown = std::ranges::any_of(
          piece, [&](char c) { return vocabulary_.byte_tokens[static_cast<uint8_t>(c)] < 0; });
      if (!unknown) {
        for (const char c : piece) out.push_back(vocabulary_.byte_tokens[static_cast<uint8_t>(c)]);
      } else if (!after_unknown && vocabulary_.unknown >= 0) {
        out.push_back(vocabulary_.unknown);  // one for a run, as SentencePiece does
      }
    }
    after_unknown = unknown;
  }
}

}  // namespace

Result<std::unique_ptr<TextModel>> make_sentencepiece_bpe(const Metadata& metadata,
                                                          const Vocabulary& vocabulary) {
  if (vocabulary.scores.empty()) return bad_data("tokenizer.ggml.scores is missing; merging goes by them");
  CARAT_TRY(const bool add_space, metadata.bool_or("tokenizer.ggml.add_space_prefix", true));
  return std::unique_ptr<TextModel>(std::make_unique<SentencePieceBpe>(vocabulary, add_space));
}

}  // namespace carat
