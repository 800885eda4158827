// Byte-level BPE: each word's bytes become symbols, and the pair of neighbours with the lowest merge rank
// (leftmost among equals) is merged until none has a rank (Sennrich et al. 2016; GPT-2). A queue of candidate
// pairs over a linked list makes that O(n log n), whatever the word's length.
#include <algorithm>
#include <array>
#include <span>

#include "base/checked.h"
#include "containers/quote.h"
#include "text/byte_alphabet.h"
#include "text/merge_queue.h"
#include "text/text_model.h"

#include <utf8proc.h>

namespace carat {
namespace {

// Symbols are ids: of tokens, and past them of texts that only merges mention, so that a merge whose parts or
// result are no tokens still works as it does where merges are kept as texts.
using Symbol = int32_t;

struct Merge {
  Symbol left, right, result;
};

/// Pair -> rank, open-addressed over the ranks.
class MergeTable {
 public:
  void reserve(size_t n) {
    size_t slots = 64;
    while (slots < 2 * n) slots *= 2;
    slots_.assign(slots, -1);
    merges_.reserve(n);
  }
  /// Ranks count up; a pair that is there already keeps its lower rank.
  void add(const Merge& m) {
    const size_t slot = slot_of(m.left, m.right);
    if (slots_[slot] < 0) slots_[slot] = static_cast<int32_t>(merges_.size());
    merges_.push_back(m);
  }
  /// Brings what add() or rank() of the pair will look at nearer.
  void prefetch(const Merge& m) const { __builtin_prefetch(&slots_[home(m.left, m.right)]); }
  int32_t rank(Symbol left, Symbol right) const { return slots_[slot_of(left, right)]; }
  const Merge& operator[](uint32_t rank) const { return merges_[rank]; }

 private:
  size_t home(Symbol left, Symbol right) const {
    const uint64_t pair = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    return hash_fold(pair) & (slots_.size() - 1);
  }
  size_t slot_of(Symbol left, Symbol right) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = home(left, right);
    while (slots_[slot] >= 0) {
      const Merge& m = merges_[static_cast<size_t>(slots_[slot])];
      if (m.left == left && m.right == right) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }
  std::vector<Merge> merges_;
  std::vector<int32_t> slots_;
};

class ByteLevelBpe final : public TextModel {
 public:
  ByteLevelBpe(const Vocabulary& vocabulary, PreTokenizer pre)
      : vocabulary_(vocabulary), pre_(std::move(pre)) {}

  Status read_merges(const Metadata& metadata);

  Status encode(std::string_view text, bool, EncodeScratch& scratch,
                std::vector<TokenId>& out) const override {
    if (!scratch.cutter) scratch.cutter = std::make_unique<PreTokenizer::Cutter>(pre_);
    std::string normalised;
    if (pre_.kind().nfc && !is_ascii(text)) {
      normalised = to_nfc(text);
      text = normalised;
    }
    return scratch.cutter->cut(text,
                               [&](std::string_view word) { return encode_cached(word, scratch, out); });
  }

  std::string bytes(TokenId id) const override {
    return bytes_of_characters(vocabulary_.texts[static_cast<size_t>(id)]);
  }
  bool adds_space() const override { return false; }

 private:
  static bool is_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  }
  static std::string to_nfc(std::string_view text);

  Status encode_cached(std::string_view word, EncodeScratch& scratch, std::vector<TokenId>& out) const {
    return scratch.cached(
        word, [this](std::string_view w, std::vector<TokenId>& to) { return encode_word(w, to); }, out);
  }

  Status encode_word(std::string_view word, std::vector<TokenId>& out) const;
  void append_symbol(Symbol symbol, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  PreTokenizer pre_;
  StringTable extra_;  ///< texts of symbols past the vocabulary
  std::array<Symbol, 256> byte_symbols_{};
  MergeTable merges_;
};

Status ByteLevelBpe::read_merges(const Metadata& metadata) {
  const auto symbol_of = [&](std::string_view text, uint64_t hash) {
    const Symbol id = vocabulary_.texts.find(text, hash);
    return id >= 0 ? id : static_cast<Symbol>(vocabulary_.size()) + extra_.insert(text).first;
  };
  for (size_t b = 0; b < 256; ++b) {
    std::string character;
    append_utf8(byte_alphabet[b], character);
    byte_symbols_[b] = symbol_of(character, StringTable::hash(character));
  }
  CARAT_TRY(const auto* merges, metadata.strings_at("tokenizer.ggml.merges"));
  if (merges->size() > size_t{1} << 24)
    return bad_data("tokenizer.ggml.merges has {} entries", merges->size());
  merges_.reserve(merges->size());

  // Merges as a rule stand in the order of the tokens they make, so that most make the same token as the one
  // before (another split of it) or the next.
  std::string joined;
  Symbol last = 0;
  const auto result_of = [&](std::string_view left, std::string_view right) {
    for (const Symbol guess : {last, last + 1}) {
      if (static_cast<size_t>(guess) >= vocabulary_.size()) continue;
      const std::string_view text = vocabulary_.texts[static_cast<size_t>(guess)];
      if (text.size() == left.size() + right.size() && text.starts_with(left) && text.ends_with(right))
        return guess;
    }
    joined.assign(left).append(right);
    return symbol_of(joined, StringTable::hash(joined));
  };
  // Look-ups miss the caches, so they are taken some at a time: what a step needs is fetched in the one
  // before.
  struct Parts {
    std::string_view left, right;
    uint64_t left_hash, right_hash;
    Merge merge;
  };
  std::array<Parts, 64> block;
  for (size_t first = 0; first < merges->size(); first += block.size()) {
    const std::span<Parts> some(block.data(), std::min(block.size(), merges->size() - first));
    for (size_t i = 0; i < some.size(); ++i) {
      const std::string_view merge = (*merges)[first + i];
      // The left part may itself begin with a space where bytes are not written as characters.
      const size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos || space + 1 == merge.size()) {
        return bad_data("tokenizer.ggml.merges[{}] is {}, not two parts with a space between", first + i,
                        quote(merge));
      }
      Parts& p = some[i];
      p.left = merge.substr(0, space);
      p.right = merge.substr(space + 1);
      p.left_hash = StringTable::hash(p.left);
      p.right_hash = StringTable::hash(p.right);
      vocabulary_.texts.prefetch(p.left_hash);
      vocabulary_.texts.prefetch(p.right_hash);
    }
    for (Parts& p : some) {
      last = result_of(p.left, p.right);
      p.merge = {symbol_of(p.left, p.left_hash), symbol_of(p.right, p.right_hash), last};
      merges_.prefetch(p.merge);
    }
    for (const Parts& p : some) merges_.add(p.merge);
  }
  return {};
}

std::string ByteLevelBpe::to_nfc(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::string_view valid = text.substr(at, valid_utf8_prefix(text, at));
    utf8proc_uint8_t* composed = nullptr;
    const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()),
                                static_cast<utf8proc_ssize_t>(valid.size()), &composed,
                                static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    n >= 0 ? out.append(reinterpret_cast<const char*>(composed), static_cast<size_t>(n)) : out.append(valid);
    std::free(composed);
    at += valid.size();
    const size_t invalid = invalid_utf8_prefix(text, at);
    out.append(text.substr(at, invalid));
    at += invalid;
  }
  return out;
}

Status ByteLevelBpe::encode_word(std::string_view word, std::vector<TokenId>& out) const {
  if (word.size() >= size_t{1} << 31)
    return bad_data("a word of {} bytes is too long to tokenize", word.size());
  if (pre_.kind().ignore_merges) {
    std::string characters;
    for (const char c : word) append_utf8(byte_alphabet[static_cast<uint8_t>(c)], characters);
    const TokenId id = vocabulary_.texts.find(characters);
    if (id >= 0) {
      out.push_back(id);
      return {};
    }
  }
  struct Node {
    Symbol symbol;  ///< -1 once merged into its left neighbour
    int32_t previous, next;
  };
  const auto count = static_cast<int32_t>(word.size());
  std::vector<Node> nodes(word.size());
  for (int32_t i = 0; i < count; ++i) {
    nodes[static_cast<size_t>(i)] = {byte_symbols_[static_cast<uint8_t>(word[static_cast<size_t>(i)])], i - 1,
                                     i + 1 < count ? i + 1 : -1};
  }
  // By rank and position of the left symbol. An entry whose pair has changed meanwhile is dropped when it
  // comes up.
  MergeQueue queue;
  const auto push = [&](int32_t left) {
    const int32_t right = left < 0 ? -1 : nodes[static_cast<size_t>(left)].next;
    if (right < 0) return;
    const int32_t rank =
        merges_.rank(nodes[static_cast<size_t>(left)].symbol, nodes[static_cast<size_t>(right)].symbol);
    if (rank < 0) return;
    queue.push(static_cast<uint32_t>(rank), static_cast<uint32_t>(left));
  };
  for (int32_t i = 0; i + 1 < count; ++i) push(i);
  while (!queue.empty()) {
    const auto [rank, place] = queue.pop();
    const Merge& merge = merges_[rank];
    const auto left = static_cast<int32_t>(place);
    Node& node = nodes[static_cast<size_t>(left)];
    if (node.symbol != merge.left || node.next < 0) continue;
    Node& right = nodes[static_cast<size_t>(node.next)];
    if (right.symbol != merge.right) continue;
    node.symbol = merge.result;
    right.symbol = -1;
    node.next = right.next;
    if (node.next >= 0) nodes[static_cast<size_t>(node.next)].previous = left;
    push(node.previous);
    push(left);
  }
  for (int32_t i = count > 0 ? 0 : -1; i >= 0; i = nodes[static_cast<size_t>(i)].next) {
    append_symbol(nodes[static_cast<size_t>(i)].symbol, out);
  }
  return {};
}

/// A symbol that is no token goes out byte by byte; a byte without a token is the unknown token, if any.
void ByteLevelBpe::append_symbol(Symbol symbol, std::vector<TokenId>& out) const {
  if (static_cast<size_t>(symbol) < vocabulary_.size()) {
    out.push_back(symbol);
    return;
  }
  for (const char c : bytes_of_characters(extra_[static_cast<size_t>(symbol) - vocabulary_.size()])) {
    const Symbol byte = byte_symbols_[static_cast<uint8_t>(c)];
    if (static_cast<size_t>(byte) < vocabulary_.size()) {
      out.push_back(byte);
    } else if (vocabulary_.unknown >= 0) {
      out.push_back(vocabulary_.unknown);
    }
  }
}

}  // namespace

Result<std::unique_ptr<TextModel>> make_byte_level_bpe(const Metadata& metadata,
                                                       const Vocabulary& vocabulary) {
  CARAT_TRY(const PreTokenizerKind* kind, pre_tokenizer_of(metadata));
  CARAT_TRY(auto pre, PreTokenizer::make(*kind));
  auto model = std::make_unique<ByteLevelBpe>(vocabulary, std::move(pre));
  CARAT_DO(model->read_merges(metadata));
  return std::unique_ptr<TextModel>(std::move(model));
}

}  // namespace carat
