// SentencePiece's BPE (Kudo and Richardson 2018): no words; spaces become U+2581, and of all neighbours whose
// concatenation is a token the pair with the highest score (leftmost among equals) is merged. Characters that
// are no token go out as byte tokens <0xHH>.
#include <algorithm>
#include <optional>

#include "text/text_model.h"

namespace carat {
namespace {

constexpr std::string_view visible_space = "\xe2\x96\x81";

class SentencePieceBpe final : public TextModel {
 public:
  SentencePieceBpe(const Vocabulary& vocabulary, bool add_space)
      : vocabulary_(vocabulary), add_space_(add_space) {
    for (size_t id = 0; id < vocabulary.size(); ++id)
      longest_ = std::max(longest_, vocabulary.texts[id].size());
  }

  Status encode(std::string_view text, bool at_start, EncodeScratch&,
                std::vector<TokenId>& out) const override;

  std::string bytes(TokenId id) const override {
    const std::string_view text = vocabulary_.texts[static_cast<size_t>(id)];
    if (vocabulary_.types[static_cast<size_t>(id)] == TokenType::byte) {
      const int value = byte_token_value(text);
      if (value >= 0) return std::string(1, static_cast<char>(value));
    }
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const bool space = text.substr(at).starts_with(visible_space);
      out.push_back(space ? ' ' : text[at]);
      at += space ? visible_space.size() : 1;
    }
    return out;
  }
  bool adds_space() const override { return add_space_; }

 private:
  const Vocabulary& vocabulary_;
  bool add_space_;
  size_t longest_ = 0;  ///< bytes of the longest token
};

Status SentencePieceBpe::encode(std::string_view text, bool at_start, EncodeScratch&,
                                std::vector<TokenId>& out) const {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 4 + 3);
  if (add_space_ && at_start) escaped.append(visible_space);
  for (const char c : text) c == ' ' ? escaped.append(visible_space) : escaped.append(1, c);
  if (escaped.size() >= size_t{1} << 31)
    return bad_data("a text of {} bytes is too long to tokenize", text.size());

  struct Node {
    uint32_t begin, length;  ///< length 0 once merged into its left neighbour
    int32_t previous, next;
  };
  std::vector<Node> nodes;
  for (size_t at = 0; at < escaped.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(escaped, at));
    const auto index = static_cast<int32_t>(nodes.size());
    nodes.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(n), index - 1, index + 1});
    at += n;
  }
  if (nodes.empty()) return {};
  nodes.back().next = -1;

  struct Candidate {
    float score;
    int32_t left;
    uint32_t length;  ///< of both together: tells whether the pair has changed meanwhile
  };
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  };
  std::vector<Candidate> heap;
  const auto text_of = [&](uint32_t begin, uint32_t length) {
    return std::string_view(escaped).substr(begin, length);
  };
  const auto push = [&](int32_t left) {
    if (left < 0 || nodes[static_cast<size_t>(left)].next < 0) return;
    const Node& a = nodes[static_cast<size_t>(left)];
    const uint32_t length = a.length + nodes[static_cast<size_t>(a.next)].length;
    if (length > longest_) return;
    const TokenId id = vocabulary_.texts.find(text_of(a.begin, length));
    if (id < 0) return;
    heap.push_back({vocabulary_.scores[static_cast<size_t>(id)], left, length});
    std::ranges::push_heap(heap, later);
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(nodes.size()); ++i) push(i);
  while (!heap.empty()) {
    std::ranges::pop_heap(heap, later);
    const Candidate best = heap.back();
    heap.pop_back();
    Node& node = nodes[static_cast<size_t>(best.left)];
    if (node.length == 0 || node.next < 0) continue;
    Node& right = nodes[static_cast<size_t>(node.next)];
    if (node.length + right.length != best.length) continue;
    node.length = best.length;
    right.length = 0;
    node.next = right.next;
    if (node.next >= 0) nodes[static_cast<size_t>(node.next)].previous = best.left;
    push(node.previous);
    push(best.left);
  }

  bool after_unknown = false;
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
  return {};
}

}  // namespace

Result<std::unique_ptr<TextModel>> make_sentencepiece_bpe(const Metadata& metadata,
                                                          const Vocabulary& vocabulary) {
  if (vocabulary.scores.empty()) return bad_data("tokenizer.ggml.scores is missing; merging goes by them");
  CARAT_TRY(const bool add_space, metadata.bool_or("tokenizer.ggml.add_space_prefix", true));
  return std::unique_ptr<TextModel>(std::make_unique<SentencePieceBpe>(vocabulary, add_space));
}

}  // namespace carat
