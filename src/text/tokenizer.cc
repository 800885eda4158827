#include "text/tokenizer.h"

#include "containers/quote.h"
#include "text/text_model.h"
#include "text/vocabulary.h"

namespace carat {
namespace {

/// The kinds of tokenizer.ggml.model.
struct ModelKind {
  std::string_view name;
  VocabularyDefaults defaults;  ///< llama.cpp's, where a file does not say
  Result<std::unique_ptr<TextModel>> (*make)(const Metadata&, const Vocabulary&);
};
constexpr ModelKind model_kinds[] = {
    {"gpt2", {}, make_byte_level_bpe},
    {"llama", {.bos = 1, .eos = 2, .unknown = 0, .add_bos = true}, make_sentencepiece_bpe},
    {"t5", {.eos = 1, .unknown = 2, .add_eos = true}, make_unigram},
    {"bert", {.bos = 101, .unknown = 100, .separator = 102, .add_bos = true}, make_word_piece},
};

Result<const ModelKind*> find_model_kind(const Metadata& metadata) {
  CARAT_TRY(const auto* name, metadata.string_at("tokenizer.ggml.model"));
  for (const ModelKind& kind : model_kinds)
    if (kind.name == *name) return &kind;
  return bad_data(
      "tokenizer.ggml.model is {}, but carat knows 'gpt2' (byte-level BPE), 'llama' (SentencePiece BPE), "
      "'t5' "
      "(SentencePiece unigram) and 'bert' (WordPiece)",
      quote(*name));
}

/// Which tokens a text may name by writing them.
enum class Written { all, user_defined, harmless };

class VocabularyTokenizer final : public Tokenizer {
 public:
  explicit VocabularyTokenizer(Vocabulary vocabulary)
      : vocabulary_(std::move(vocabulary)),
        all_(vocabulary_, written_tokens(Written::all)),
        user_defined_(vocabulary_, written_tokens(Written::user_defined)),
        harmless_(vocabulary_, written_tokens(Written::harmless)) {}

  const Vocabulary& vocabulary() const { return vocabulary_; }
  void set_model(std::unique_ptr<TextModel> model) { model_ = std::move(model); }

  Result<std::vector<TokenId>> encode(std::string_view text, bool add_special,
                                      bool parse_special) const override {
    std::vector<TokenId> out;
    EncodeScratch scratch;
    bool at_start = true;
    if (add_special && vocabulary_.add_bos) out.push_back(vocabulary_.bos);
    CARAT_DO(append(text, parse_special ? all_ : user_defined_, at_start, scratch, out));
    if (add_special && vocabulary_.add_eos) out.push_back(vocabulary_.eos);
    return out;
  }

  Result<std::vector<TokenId>> encode_spans(const std::vector<TextSpan>& spans) const override {
    std::vector<TokenId> out;
    EncodeScratch scratch;
    bool at_start = true;
    for (const TextSpan& span : spans) {
      CARAT_DO(append(span.text, span.trusted ? all_ : harmless_, at_start, scratch, out));
    }
    return out;
  }

  std::string token_bytes(TokenId id, bool special) const override {
    if (id < 0 || static_cast<size_t>(id) >= vocabulary_.size()) return {};
    switch (vocabulary_.types[static_cast<size_t>(id)]) {
      case TokenType::control:
      case TokenType::unknown:
        return special ? std::string(vocabulary_.texts[static_cast<size_t>(id)]) : std::string{};
      case TokenType::user_defined:
        return std::string(vocabulary_.texts[static_cast<size_t>(id)]);
      default:
        return model_->bytes(id);
    }
  }

  std::string decode(const std::vector<TokenId>& ids, bool special) const override {
    std::string out;
    bool first_word = model_->adds_space();
    for (const TokenId id : ids) {
      std::string piece = token_bytes(id, special);
      if (first_word && id >= 0 && static_cast<size_t>(id) < vocabulary_.size() && !is_control(id)) {
        if (piece.starts_with(' ')) piece.erase(0, 1);
        first_word = false;
      }
      out += piece;
    }
    return out;
  }

  size_t vocabulary_size() const override { return vocabulary_.size(); }
  TokenId bos() const override { return vocabulary_.bos; }
  TokenId eos() const override { return vocabulary_.eos; }
  bool adds_bos() const override { return vocabulary_.add_bos; }
  bool adds_eos() const override { return vocabulary_.add_eos; }
  bool ends_generation(TokenId id) const override {
    return id >= 0 && static_cast<size_t>(id) < vocabulary_.size() &&
           vocabulary_.ends_generation[static_cast<size_t>(id)];
  }
  TokenId find(std::string_view token_text) const override { return vocabulary_.texts.find(token_text); }
  bool is_control(TokenId id) const override {
    return id >= 0 && static_cast<size_t>(id) < vocabulary_.size() &&
           vocabulary_.types[static_cast<size_t>(id)] == TokenType::control;
  }

 private:
  std::vector<TokenId> written_tokens(Written which) const {
    std::vector<TokenId> ids;
    for (size_t id = 0; id < vocabulary_.size(); ++id) {
      const TokenType type = vocabulary_.types[id];
      const bool control = type == TokenType::control || type == TokenType::unknown;
      const bool user_defined = type == TokenType::user_defined;
      const bool take = which == Written::all ? control || user_defined
                        : which == Written::user_defined
                            ? user_defined
                            : user_defined && !looks_special(vocabulary_.texts[id]);
      if (take) ids.push_back(static_cast<TokenId>(id));
    }
    return ids;
  }

  Status append(std::string_view text, const TokenFinder& finder, bool& at_start, EncodeScratch& scratch,
                std::vector<TokenId>& out) const {
    for (size_t at = 0; at < text.size();) {
      const TokenFinder::Found found = finder.next(text, at);
      if (found.begin > at) {
        CARAT_DO(model_->encode(text.substr(at, found.begin - at), at_start, scratch, out));
        at_start = false;
      }
      if (found.length > 0) {
        out.push_back(found.id);
        at_start = true;
      }
      at = found.begin + found.length;
    }
    return {};
  }

  Vocabulary vocabulary_;
  TokenFinder all_, user_defined_, harmless_;
  std::unique_ptr<TextModel> model_;
};

}  // namespace

Result<VocabularyDefaults> vocabulary_defaults(const Metadata& metadata) {
  CARAT_TRY(const ModelKind* kind, find_model_kind(metadata));
  VocabularyDefaults defaults = kind->defaults;
  if (kind->name == "gpt2") {
    CARAT_TRY(const PreTokenizerKind* pre, pre_tokenizer_of(metadata));
    defaults.add_bos = pre->add_bos;
  }
  return defaults;
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_metadata(const Metadata& metadata) {
  CARAT_TRY(const ModelKind* kind, find_model_kind(metadata));
  CARAT_TRY(const VocabularyDefaults defaults, vocabulary_defaults(metadata));
  CARAT_TRY(auto vocabulary, read_vocabulary(metadata, defaults));
  auto tokenizer = std::make_shared<VocabularyTokenizer>(std::move(vocabulary));
  CARAT_TRY(auto model, kind->make(metadata, tokenizer->vocabulary()));
  tokenizer->set_model(std::move(model));
  return std::shared_ptr<const Tokenizer>(std::move(tokenizer));
}

std::string Tokenizer::note_of(const Metadata& metadata) {
  const auto model = metadata.string_or("tokenizer.ggml.model", "");
  if (!model.ok() || *model != "gpt2" || metadata.has("tokenizer.ggml.pre")) return {};
  return "tokenizer.ggml.pre is missing, which says how text is split; the oldest way, 'default', is taken. "
         "If the "
         "answers are poor, convert the model anew from its Hugging Face directory or get a newer GGUF of it";
}

}  // namespace carat
