// tokenizer.ggml.* to Hugging Face's files. SentencePiece's scores become merges: every pair of tokens whose
// concatenation is a token, by the score of the result.
#include <algorithm>

#include "containers/json.h"
#include "containers/quote.h"
#include "text/base64.h"
#include "text/hf_building.h"
#include "text/hf_tokenizer.h"
#include "text/pre_tokenizer.h"
#include "text/sentencepiece_text.h"
#include "text/text_model.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace carat {
namespace {

std::string text_of(const Vocabulary& v, TokenId id) { return std::string(v.texts[static_cast<size_t>(id)]); }

/// A row of the embedding no token stands for; it comes back by itself when the files are read.
bool is_padding(const Vocabulary& v, size_t id) {
  return v.types[id] == TokenType::unused && v.texts[id] == fmt::format("[PAD{}]", id);
}

json::array added_tokens(const Vocabulary& v) {
  json::array added;
  for (size_t id = 0; id < v.size(); ++id) {
    const TokenType type = v.types[id];
    if (type != TokenType::control && type != TokenType::user_defined && type != TokenType::unknown) continue;
    added.push_back(json::object{{"id", id},
                                 {"content", text_of(v, static_cast<TokenId>(id))},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"normalized", false},
                                 {"special", type != TokenType::user_defined}});
  }
  return added;
}

Status check_utf8(std::string_view text, size_t id) {
  if (valid_utf8_prefix(text, 0) == text.size()) return {};
  return bad_data("token {} is {}, which is no UTF-8 and cannot stand in JSON", id, quote(text));
}

Result<json::object> vocabulary_object(const Vocabulary& v) {
  json::object tokens;
  tokens.reserve(v.size());
  for (size_t id = 0; id < v.size(); ++id) {
    const std::string_view text = v.texts[id];
    if (is_padding(v, id)) continue;
    CARAT_DO(check_utf8(text, id));
    tokens.emplace(text, id);
  }
  return tokens;
}

json::object split_step(std::string_view regex) {
  return {{"type", "Split"},
          {"pattern", json::object{{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json::object byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json::value pre_tokenizer(const PreTokenizerKind& kind) {
  json::array steps;
  const bool ends_with_words = kind.steps.back().kind == SplitStep::gpt2_words;
  for (size_t i = 0; i + (ends_with_words ? 1 : 0) < kind.steps.size(); ++i) {
    const SplitStep& step = kind.steps[i];
    switch (step.kind) {
      case SplitStep::split:
        steps.push_back(split_step(step.regex));
        break;
      case SplitStep::digits:
        steps.push_back(json::object{{"type", "Digits"}, {"individual_digits", true}});
        break;
      case SplitStep::punctuation:
        steps.push_back(json::object{{"type", "Punctuation"}, {"behavior", "Contiguous"}});
        break;
      // ByteLevel would turn the text into byte characters, which the steps after it must not see.
      case SplitStep::gpt2_words:
        steps.push_back(split_step(gpt2_word_expression()));
        break;
    }
  }
  steps.push_back(byte_level(ends_with_words));
  if (steps.size() == 1) return steps[0];
  return json::object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

/// Puts BOS and EOS around a text; null if the model wants neither.
json::value post_processor(const Vocabulary& v) {
  if (!v.add_bos && !v.add_eos) return nullptr;
  json::object specials;
  const auto special = [&](TokenId id, int type) {
    const std::string text = text_of(v, id);
    specials[text] = json::object{{"id", text}, {"ids", json::array{id}}, {"tokens", json::array{text}}};
    return json::object{{"SpecialToken", json::object{{"id", text}, {"type_id", type}}}};
  };
  const auto around = [&](json::array& out, std::string_view sequence, int type) {
    if (v.add_bos) out.push_back(special(v.bos, type));
    out.push_back(json::object{{"Sequence", json::object{{"id", sequence}, {"type_id", type}}}});
    if (v.add_eos) out.push_back(special(v.eos, type));
  };
  json::array single, pair;
  around(single, "A", 0);
  around(pair, "A", 0);
  around(pair, "B", 1);
  return json::object{{"type", "TemplateProcessing"},
                      {"single", std::move(single)},
                      {"pair", std::move(pair)},
                      {"special_tokens", std::move(specials)}};
}

json::object model_head(bool byte_fallback, const json::value& unknown, bool ignore_merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", byte_fallback},
          {"byte_fallback", byte_fallback},
          {"ignore_merges", ignore_merges}};
}

json::object tokenizer_head(const Vocabulary& v) {
  return {
      {"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added_tokens(v)}};
}

Result<json::object> byte_level_tokenizer(const Metadata& metadata, const Vocabulary& v,
                                          const PreTokenizerKind& kind) {
  CARAT_TRY(const auto* merges, metadata.strings_at("tokenizer.ggml.merges"));
  json::array list;
  list.reserve(merges->size());
  std::string joined;
  for (const std::string& merge : *merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos) return bad_data("tokenizer.ggml.merges: {} is no pair", quote(merge));
    joined.assign(merge).erase(space, 1);
    if (v.texts.find(joined) < 0 || v.texts.find(merge.substr(0, space)) < 0 ||
        v.texts.find(merge.substr(space + 1)) < 0) {
      return bad_data(
          "tokenizer.ggml.merges: {} mentions what is no token, which Hugging Face's tokenizers refuse",
          quote(merge));
    }
    list.emplace_back(merge);
  }
  json::object out = tokenizer_head(v);
  out["normalizer"] = kind.nfc ? json::value(json::object{{"type", "NFC"}}) : json::value(nullptr);
  out["pre_tokenizer"] = pre_tokenizer(kind);
  out["post_processor"] = post_processor(v);
  out["decoder"] = byte_level(true);
  json::object model = model_head(false, nullptr, kind.ignore_merges);
  CARAT_TRY(model["vocab"], vocabulary_object(v));
  model["merges"] = std::move(list);
  out["model"] = std::move(model);
  return out;
}

json::array merges_of_scores(const Vocabulary& v) {
  struct Pair {
    uint32_t left, right, result;
  };
  std::vector<Pair> pairs;
  const auto mergeable = [&](int32_t id) {
    return id >= 0 && v.types[static_cast<size_t>(id)] != TokenType::byte;
  };
  for (size_t id = 0; id < v.size(); ++id) {
    if (v.types[id] != TokenType::normal && v.types[id] != TokenType::unused) continue;
    const std::string_view text = v.texts[id];
    for (size_t at = std::max<size_t>(1, utf8_length(text, 0)); at < text.size();
         at += std::max<size_t>(1, utf8_length(text, at))) {
      const int32_t left = v.texts.find(text.substr(0, at)), right = v.texts.find(text.substr(at));
      if (!mergeable(left) || !mergeable(right)) continue;
      pairs.push_back({static_cast<uint32_t>(left), static_cast<uint32_t>(right), static_cast<uint32_t>(id)});
    }
  }
  std::ranges::stable_sort(
      pairs, [&](const Pair& a, const Pair& b) { return v.scores[a.result] > v.scores[b.result]; });
  json::array merges;
  merges.reserve(pairs.size());
  // Pairs, not strings, because a token may hold a space.
  for (const Pair& p : pairs) merges.push_back(json::array{v.texts[p.left], v.texts[p.right]});
  return merges;
}

Result<json::object> sentencepiece_tokenizer(const Metadata& metadata, const Vocabulary& v) {
  if (v.scores.empty()) return bad_data("tokenizer.ggml.scores is missing; merging goes by them");
  CARAT_TRY(const bool add_space, metadata.bool_or("tokenizer.ggml.add_space_prefix", true));
  json::array normalizers, decoders;
  if (add_space) normalizers.push_back(json::object{{"type", "Prepend"}, {"prepend", visible_space}});
  normalizers.push_back(json::object{
      {"type", "Replace"}, {"pattern", json::object{{"String", " "}}}, {"content", visible_space}});
  decoders.push_back(json::object{
      {"type", "Replace"}, {"pattern", json::object{{"String", visible_space}}}, {"content", " "}});
  decoders.push_back(json::object{{"type", "ByteFallback"}});
  decoders.push_back(json::object{{"type", "Fuse"}});
  if (add_space)
    decoders.push_back(json::object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  json::object out = tokenizer_head(v);
  out["normalizer"] = json::object{{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  out["pre_tokenizer"] = nullptr;
  out["post_processor"] = post_processor(v);
  out["decoder"] = json::object{{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  json::object model = model_head(
      true, v.unknown >= 0 ? json::value(v.texts[static_cast<size_t>(v.unknown)]) : json::value(nullptr),
      false);
  CARAT_TRY(model["vocab"], vocabulary_object(v));
  model["merges"] = merges_of_scores(v);
  out["model"] = std::move(model);
  return out;
}

/// Pieces with their scores, as SentencePiece's converters write them.
Result<json::object> unigram_tokenizer(const Metadata& metadata, const Vocabulary& v) {
  if (v.scores.empty()) return bad_data("tokenizer.ggml.scores is missing; the best cut goes by them");
  CARAT_TRY(const bool add_space, metadata.bool_or("tokenizer.ggml.add_space_prefix", true));
  CARAT_TRY(const bool merge, metadata.bool_or("tokenizer.ggml.remove_extra_whitespaces", false));
  CARAT_TRY(const std::string charsmap, charsmap_blob(metadata));
  json::array normalizers, vocabulary;
  if (!charsmap.empty()) {
    normalizers.push_back(
        json::object{{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(charsmap)}});
  }
  const auto replace = [&](std::string_view kind, std::string_view pattern, std::string_view content) {
    normalizers.push_back(
        json::object{{"type", "Replace"}, {"pattern", json::object{{kind, pattern}}}, {"content", content}});
  };
  const json::object metaspace = {{"type", "Metaspace"},
                                  {"replacement", visible_space},
                                  {"prepend_scheme", add_space ? "always" : "never"},
                                  {"split", true}};
  if (merge) {
    replace("Regex", spaces_at_ends, "");
    replace("Regex", spaces_in_a_row, " ");
  } else {
    // Metaspace puts no space before one that is there already.
    if (add_space) normalizers.push_back(json::object{{"type", "Prepend"}, {"prepend", visible_space}});
    replace("String", " ", visible_space);
  }
  for (size_t id = 0; id < v.size(); ++id) {
    const std::string_view text = v.texts[id];
    CARAT_DO(check_utf8(text, id));
    vocabulary.push_back(json::array{text, v.scores[id]});
  }
  json::object out = tokenizer_head(v);
  out["normalizer"] = json::object{{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  out["pre_tokenizer"] = merge ? json::value(metaspace) : json::value(nullptr);
  out["post_processor"] = post_processor(v);
  out["decoder"] = metaspace;
  const bool bytes = std::ranges::all_of(v.byte_tokens, [](TokenId id) { return id >= 0; });
  out["model"] = json::object{{"type", "Unigram"},
                              {"unk_id", v.unknown >= 0 ? json::value(v.unknown) : json::value(nullptr)},
                              {"vocab", std::move(vocabulary)},
                              {"byte_fallback", bytes}};
  return out;
}

Result<json::object> word_piece_tokenizer(const Metadata& metadata, const Vocabulary& v) {
  CARAT_TRY(const bool lowercase, metadata.bool_or("tokenizer.ggml.normalizer.lowercase", true));
  CARAT_TRY(const bool strip, metadata.bool_or("tokenizer.ggml.normalizer.strip_accents", lowercase));
  json::object vocabulary;
  for (size_t id = 0; id < v.size(); ++id) {
    if (is_padding(v, id)) continue;
    const std::string_view text = v.texts[id];
    CARAT_DO(check_utf8(text, id));
    // Older files leave tokens in brackets, markers or not, as they are.
    const bool bare = v.types[id] != TokenType::normal || (text.starts_with('[') && text.ends_with(']'));
    const bool begins = text.starts_with(visible_space) && text.size() > visible_space.size();
    const std::string written = bare     ? std::string(text)
                                : begins ? std::string(text.substr(visible_space.size()))
                                         : fmt::format("##{}", text);
    if (!vocabulary.emplace(written, id).second)
      return bad_data("two tokens are {} in Hugging Face's WordPiece", quote(written));
  }
  json::object out = tokenizer_head(v);
  out["normalizer"] = json::object{{"type", "BertNormalizer"},
                                   {"clean_text", true},
                                   {"handle_chinese_chars", true},
                                   {"strip_accents", strip},
                                   {"lowercase", lowercase}};
  out["pre_tokenizer"] = json::object{{"type", "BertPreTokenizer"}};
  out["post_processor"] = post_processor(v);
  out["decoder"] = json::object{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  out["model"] = json::object{{"type", "WordPiece"},
                              {"unk_token", v.unknown >= 0 ? text_of(v, v.unknown) : "[UNK]"},
                              {"continuing_subword_prefix", "##"},
                              {"max_input_chars_per_word", 100},
                              {"vocab", std::move(vocabulary)}};
  return out;
}

Result<json::value> chat_templates(const Metadata& metadata) {
  CARAT_TRY(const std::string standard, metadata.string_or("tokenizer.chat_template", ""));
  if (!metadata.has("tokenizer.chat_templates"))
    return standard.empty() ? json::value(nullptr) : json::value(standard);
  json::array list;
  if (!standard.empty()) list.push_back(json::object{{"name", "default"}, {"template", standard}});
  CARAT_TRY(const auto* names, metadata.strings_at("tokenizer.chat_templates"));
  for (const std::string& name : *names) {
    CARAT_TRY(const auto* source, metadata.string_at("tokenizer.chat_template." + name));
    list.push_back(json::object{{"name", name}, {"template", *source}});
  }
  return json::value(std::move(list));
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> make_hf_tokenizer_files(const Metadata& metadata) {
  CARAT_TRY(const auto* model, metadata.string_at("tokenizer.ggml.model"));
  CARAT_TRY(const VocabularyDefaults defaults, vocabulary_defaults(metadata));
  CARAT_TRY(const Vocabulary v, read_vocabulary(metadata, defaults));
  json::object tokenizer;
  if (*model == "gpt2") {
    CARAT_TRY(const PreTokenizerKind* kind, pre_tokenizer_of(metadata));
    CARAT_TRY(tokenizer, byte_level_tokenizer(metadata, v, *kind));
  } else if (*model == "llama") {
    CARAT_TRY(tokenizer, sentencepiece_tokenizer(metadata, v));
  } else if (*model == "t5") {
    CARAT_TRY(tokenizer, unigram_tokenizer(metadata, v));
  } else {
    CARAT_TRY(tokenizer, word_piece_tokenizer(metadata, v));
  }

  json::object config, specials, generation;
  const auto name_token = [&](std::string_view name, TokenId id) {
    if (id < 0) return;
    const std::string text = text_of(v, id);
    config[fmt::format("{}_token", name)] = text;
    specials[fmt::format("{}_token", name)] = text;
    if (name != "unk") generation[fmt::format("{}_token_id", name)] = id;
  };
  CARAT_TRY(const uint64_t pad, metadata.unsigned_or("tokenizer.ggml.padding_token_id", v.size()));
  name_token("bos", v.bos);
  name_token("eos", v.eos);
  name_token("unk", v.unknown);
  name_token("pad", pad < v.size() ? static_cast<TokenId>(pad) : -1);
  CARAT_TRY(const uint64_t turn_end, metadata.unsigned_or("tokenizer.ggml.eot_token_id", v.size()));
  if (v.eos >= 0 && turn_end < v.size() && turn_end != static_cast<uint64_t>(v.eos)) {
    generation["eos_token_id"] = json::array{v.eos, turn_end};
  }
  config["add_bos_token"] = v.add_bos;
  config["add_eos_token"] = v.add_eos;
  config["clean_up_tokenization_spaces"] = false;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  CARAT_TRY(auto templates, chat_templates(metadata));
  if (!templates.is_null()) config["chat_template"] = std::move(templates);

  return std::vector<std::pair<std::string, std::string>>{
      {"tokenizer.json", json::serialize(tokenizer)},
      {"tokenizer_config.json", pretty_json(config)},
      {"special_tokens_map.json", pretty_json(specials)},
      {"generation_config.json", pretty_json(generation)},
  };
}

}  // namespace carat
