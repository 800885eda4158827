// Hugging Face's tokenizer files to tokenizer.ggml.*. Choices follow llama.cpp's converter, so that the same
// model gives the same metadata: special and marker-like added tokens are control tokens, others
// user-defined, ids without a token are [PADn].
#include "text/hf_tokenizer.h"

#include <algorithm>
#include <limits>

#include "text/hf_building.h"
#include "text/hf_pre_tokenizer.h"
#include "text/sentencepiece_model.h"
#include "text/sentencepiece_text.h"

namespace carat {

Status put_added_tokens(const json::value& tokenizer, Building& v) {
  const json::array* added = json_array(json_find(tokenizer, "added_tokens"));
  if (!added) return {};
  for (const json::value& token : *added) {
    const auto id = id_of(json_find(token, "id"));
    auto text = text_of(json_find(token, "content"));
    if (!id || !text) return bad_data("tokenizer.json: an added token has no id or no content");
    const bool special = flag_of(token, "special", false) || looks_special(*text);
    // What SentencePiece says about a piece of its own is more exact.
    if (*id < v.texts.size() && v.present[*id] && v.texts[*id] == *text &&
        v.types[*id] != static_cast<int32_t>(TokenType::normal)) {
      continue;
    }
    const float score = *id < v.scores.size() && v.present[*id] ? v.scores[*id] : -1000.0f;
    CARAT_DO(v.put(*id, std::move(*text), special ? TokenType::control : TokenType::user_defined, score));
  }
  return {};
}

Status put_vocabulary(const json::value& model, Building& v) {
  const json::object* vocabulary = json_object(json_find(model, "vocab"));
  if (!vocabulary) return bad_data("tokenizer.json: model.vocab is missing or no object");
  for (const auto& entry : *vocabulary) {
    const std::string text(entry.key());
    const auto id = id_of(&entry.value());
    if (!id) return bad_data("tokenizer.json: the id of token {} is no whole number", quote(text));
    if (*id < v.present.size() && v.present[*id]) {
      return bad_data("tokenizer.json: the tokens {} and {} have the same id {}", quote(v.texts[*id]),
                      quote(text), *id);
    }
    CARAT_DO(v.put(*id, text, TokenType::normal, 0.0f));
  }
  return {};
}

namespace {

Result<json::value> parse_file(const std::optional<std::string>& text, std::string_view name) {
  if (!text) return json::value(json::object{});
  auto parsed = parse_json(*text);
  if (!parsed) return std::move(parsed).error().within(name);
  if (!parsed->is_object()) return bad_data("{} is no JSON object", name);
  return parsed;
}

Result<std::vector<std::string>> read_merges(const json::value& model) {
  const json::array* list = json_array(json_find(model, "merges"));
  if (!list) return bad_data("tokenizer.json: model.merges is missing");
  std::vector<std::string> merges;
  merges.reserve(list->size());
  for (const json::value& merge : *list) {
    if (const json::string* s = merge.if_string()) {
      merges.emplace_back(*s);
    } else if (const json::array* pair = merge.if_array();
               pair && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
      const std::string_view left = (*pair)[0].get_string(), right = (*pair)[1].get_string();
      if (left.find(' ') != std::string_view::npos || right.find(' ') != std::string_view::npos) {
        return bad_data("tokenizer.json: model.merges[{}] has a part with a space, which GGUF cannot hold",
                        merges.size());
      }
      merges.push_back(fmt::format("{} {}", left, right));
    } else {
      return bad_data("tokenizer.json: model.merges[{}] is neither a string nor a pair of strings",
                      merges.size());
    }
  }
  return merges;
}

Status read_byte_level(const json::value& tokenizer, const json::value& model, Building& v, Metadata& out) {
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto text = text_of(json_find(model, key)); text && !text->empty()) {
      return bad_data("tokenizer.json: model.{} is {}, which byte-level BPE in GGUF cannot hold", key,
                      quote(*text));
    }
  }
  CARAT_DO(put_vocabulary(model, v));
  CARAT_TRY(auto merges, read_merges(model));
  CARAT_TRY(auto pre, recognise_pre_tokenizer(tokenizer, flag_of(model, "ignore_merges", false)));
  out.set("tokenizer.ggml.model", Value::string("gpt2"));
  out.set("tokenizer.ggml.pre", Value::string(std::move(pre)));
  out.set("tokenizer.ggml.merges", Value::strings(std::move(merges)));
  return put_added_tokens(tokenizer, v);
}

void set_sentencepiece_bpe(bool add_space, Metadata& out) {
  out.set("tokenizer.ggml.model", Value::string("llama"));
  out.set("tokenizer.ggml.pre", Value::string("default"));
  out.set("tokenizer.ggml.add_space_prefix", Value::boolean(add_space));
}

/// SentencePiece's vocabulary as tokenizer.json has it after conversion: merges stand for scores. A token's
/// score is the rank of the first merge that makes it.
Status read_byte_fallback(const json::value& tokenizer, const json::value& model, Building& v,
                          Metadata& out) {
  CARAT_DO(put_vocabulary(model, v));
  StringTable ids;
  for (const std::string& text : v.texts) ids.insert(text);
  const json::array* merges = json_array(json_find(model, "merges"));
  if (!merges) return bad_data("tokenizer.json: model.merges is missing");
  std::vector<float> scores(v.texts.size(), -std::numeric_limits<float>::max());
  std::vector<size_t> id_of_string(ids.size());
  for (size_t id = 0; id < v.texts.size(); ++id)
    id_of_string[static_cast<size_t>(ids.find(v.texts[id]))] = id;
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    std::string joined;
    if (const json::array* pair = (*merges)[rank].if_array()) {
      for (const json::value& part : *pair) joined += text_of(&part).value_or("");
    } else {
      joined = text_of(&(*merges)[rank]).value_or("");
      const size_t space = joined.find(' ', 1);
      if (space == std::string::npos) return bad_data("tokenizer.json: model.merges[{}] is no pair", rank);
      joined.erase(space, 1);
    }
    const int32_t found = ids.find(joined);
    if (found < 0)
      return bad_data("tokenizer.json: model.merges[{}] makes {}, which is no token", rank, quote(joined));
    float& score = scores[id_of_string[static_cast<size_t>(found)]];
    score = std::max(score, -static_cast<float>(rank) - 1);
  }
  const std::string unknown = text_of(json_find(model, "unk_token")).value_or("");
  for (size_t id = 0; id < v.texts.size(); ++id) {
    if (!v.present[id]) continue;
    if (byte_token_value(v.texts[id]) >= 0) v.types[id] = static_cast<int32_t>(TokenType::byte);
    if (!unknown.empty() && v.texts[id] == unknown) v.types[id] = static_cast<int32_t>(TokenType::unknown);
    // Single characters are never merged into; their score does not matter.
    v.scores[id] = scores[id] > -1e30f ? scores[id] : -1e6f;
  }
  std::vector<const json::value*> normalizers;
  CARAT_DO(collect_normalizers(json_find(tokenizer, "normalizer"), 0, normalizers));
  bool add_space = false;
  for (const json::value* n : normalizers) {
    const auto type = text_of(json_find(*n, "type"));
    if (type == "Prepend" && text_of(json_find(*n, "prepend")) == visible_space) {
      add_space = true;
    } else if (type != "Replace" || text_of(json_find(*n, "content")) != visible_space) {
      return bad_data("tokenizer.json: carat does not know the normalizer {} before BPE with byte fallback",
                      quote(json::serialize(*n)));
    }
  }
  if (const json::value* pre = json_find(tokenizer, "pre_tokenizer"); pre && !pre->is_null()) {
    const auto type = text_of(json_find(*pre, "type"));
    const auto behavior = text_of(json_find(*pre, "behavior"));
    if (type == "Metaspace") {
      const auto scheme = text_of(json_find(*pre, "prepend_scheme"));
      add_space = scheme ? *scheme != "never" : flag_of(*pre, "add_prefix_space", true);
      if (flag_of(*pre, "split", false)) return unknown_pre_tokenizer("Metaspace that splits");
    } else if (type != "Split" || behavior != "MergedWithPrevious") {
      return unknown_pre_tokenizer(quote(json::serialize(*pre)));
    }
  }
  set_sentencepiece_bpe(add_space, out);
  return put_added_tokens(tokenizer, v);
}

/// A model of its own: tokenizer.ggml.model and what belongs to it.
Status read_sentencepiece(const std::string& bytes, Building& v, Metadata& out) {
  CARAT_TRY(auto model, read_sentencepiece_model(bytes));
  const bool unigram = model.model_type == 1;
  if (!unigram && model.model_type != 2) {
    return bad_data("tokenizer.model is of SentencePiece's type {}, but carat knows unigram (1) and BPE (2)",
                    model.model_type);
  }
  if (model.space_at_end)
    return bad_data("tokenizer.model has spaces at the end of words, which GGUF cannot hold");
  if (!unigram && !model.charsmap.empty()) {
    return bad_data(
        "tokenizer.model maps characters before merging (its normalizer has a table), which GGUF cannot "
        "hold");
  }
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    auto& piece = model.pieces[id];
    const auto type = static_cast<TokenType>(piece.type);
    if (type == TokenType::user_defined) {
      piece.text = with_spaces(piece.text);
    }
    CARAT_DO(v.put(id, std::move(piece.text), type, piece.score));
  }
  if (unigram) {
    set_unigram(model.charsmap, model.add_dummy_prefix, model.remove_extra_whitespaces, out);
  } else {
    set_sentencepiece_bpe(model.add_dummy_prefix, out);
  }
  const auto set_id = [&](std::string_view key, int64_t id) {
    if (id >= 0 && id < static_cast<int64_t>(model.pieces.size()))
      out.set(key, Value::u32(static_cast<uint32_t>(id)));
  };
  set_id("tokenizer.ggml.unknown_token_id", model.unknown);
  set_id("tokenizer.ggml.bos_token_id", model.bos);
  set_id("tokenizer.ggml.eos_token_id", model.eos);
  set_id("tokenizer.ggml.padding_token_id", model.pad);
  return {};
}

// --- special ids, what to add, templates ---

struct OtherFiles {
  json::value tokenizer, config, special_map, generation, model_config;
};

/// A token named by text ("bos_token": "<s>" or {"content": "<s>"}).
std::optional<std::string> named_token(const json::value& file, std::string_view name) {
  const json::value* v = json_find(file, name);
  if (v && v->is_object()) v = json_find(*v, "content");
  return text_of(v);
}

Status set_special_ids(const OtherFiles& files, const Building& v, Metadata& out) {
  StringTable texts;
  std::vector<uint32_t> ids;
  for (size_t id = 0; id < v.texts.size(); ++id) {
    if (v.present[id] && texts.insert(v.texts[id]).second) ids.push_back(static_cast<uint32_t>(id));
  }
  constexpr std::pair<std::string_view, std::string_view> kinds[] = {
      {"bos", "bos"}, {"eos", "eos"}, {"unk", "unknown"}, {"pad", "padding"}};
  for (const auto& [name, key_part] : kinds) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", key_part);
    const std::string text_name = fmt::format("{}_token", name), id_name = fmt::format("{}_token_id", name);
    std::optional<uint64_t> id;
    for (const json::value* file : {&files.config, &files.special_map}) {
      const auto text = id ? std::nullopt : named_token(*file, text_name);
      if (const int32_t found = text ? texts.find(*text) : -1; found >= 0)
        id = ids[static_cast<size_t>(found)];
    }
    for (const json::value* file : {&files.model_config, &files.generation}) {
      if (!id && !out.has(key)) id = id_of(json_find(*file, id_name));
    }
    if (id && *id < v.texts.size()) out.set(key, Value::u32(static_cast<uint32_t>(*id)));
  }
  // Chat models list the end of a turn beside the end of the text.
  if (const json::array* ends = json_array(json_find(files.generation, "eos_token_id"))) {
    CARAT_TRY(const uint64_t eos, out.unsigned_or("tokenizer.ggml.eos_token_id", Building::max_ids));
    for (const json::value& end : *ends) {
      const auto id = id_of(&end);
      if (id && *id != eos && *id < v.texts.size() && !out.has("tokenizer.ggml.eot_token_id")) {
        out.set("tokenizer.ggml.eot_token_id", Value::u32(static_cast<uint32_t>(*id)));
      }
    }
  }
  return {};
}

/// Ids that the post_processor puts before and after one text.
void collect_template(const json::value& post, int depth, std::optional<uint64_t>& before,
                      std::optional<uint64_t>& after) {
  if (depth > 4) return;
  const auto type = text_of(json_find(post, "type"));
  if (type == "Sequence") {
    if (const json::array* parts = json_array(json_find(post, "processors"))) {
      for (const json::value& part : *parts) collect_template(part, depth + 1, before, after);
    }
  }
  if (type == "BertProcessing") {
    const auto id_in = [&](std::string_view name) -> std::optional<uint64_t> {
      const json::array* pair = json_array(json_find(post, name));  // text and id
      return pair && pair->size() == 2 ? id_of(&(*pair)[1]) : std::nullopt;
    };
    before = id_in("cls");
    after = id_in("sep");
    return;
  }
  const json::array* single = json_array(json_find(post, "single"));
  const json::value* specials = json_find(post, "special_tokens");
  if (type != "TemplateProcessing" || !single || !specials) return;
  bool text_seen = false;
  for (const json::value& part : *single) {
    if (json_find(part, "Sequence")) text_seen = true;
    const json::value* token = json_find(part, "SpecialToken");
    const auto name = token ? text_of(json_find(*token, "id")) : std::nullopt;
    const json::value* entry = name ? json_find(*specials, *name) : nullptr;
    if (entry) (text_seen ? after : before) = id_of(json_find(*entry, "ids"));
  }
}

void set_added(const OtherFiles& files, const Building& v, bool has_tokenizer_json, Metadata& out) {
  std::optional<uint64_t> before, after;
  if (const json::value* post = json_find(files.tokenizer, "post_processor"))
    collect_template(*post, 0, before, after);
  const auto decide = [&](std::string_view name, const std::optional<uint64_t>& id) {
    const std::string id_key = fmt::format("tokenizer.ggml.{}_token_id", name);
    const std::string add_key = fmt::format("tokenizer.ggml.add_{}_token", name);
    if (id && *id < v.texts.size()) out.set(id_key, Value::u32(static_cast<uint32_t>(*id)));
    const json::value* given = json_find(files.config, fmt::format("add_{}_token", name));
    if (given && given->is_bool()) {
      out.set(add_key, Value::boolean(given->get_bool() && out.has(id_key)));
    } else if (has_tokenizer_json) {
      out.set(add_key, Value::boolean(id.has_value() && out.has(id_key)));
    }
  };
  decide("bos", before);
  decide("eos", after);
  // llama.cpp ends BERT's texts with what it calls the separator (and GGUF misspells).
  const auto kind = out.string_or("tokenizer.ggml.model", "");
  if (!kind.ok() || *kind != "bert") return;
  const auto copy = [&](std::string_view from, std::string_view to) {
    // set() may move what find() points at, so the value is copied before.
    if (const Value* found = out.find(from)) {
      Value value = *found;
      out.set(to, std::move(value));
    }
  };
  copy("tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_sep_token");
  copy("tokenizer.ggml.eos_token_id", "tokenizer.ggml.seperator_token_id");
}

void set_chat_template(const HfTokenizerFiles& files, const json::value& config, Metadata& out) {
  const json::value* given = json_find(config, "chat_template");
  if (const json::array* named = json_array(given)) {
    std::vector<std::string> names;
    for (const json::value& entry : *named) {
      const auto name = text_of(json_find(entry, "name")), source = text_of(json_find(entry, "template"));
      if (!name || !source) continue;
      if (*name == "default") {
        out.set("tokenizer.chat_template", Value::string(*source));
      } else {
        out.set("tokenizer.chat_template." + *name, Value::string(*source));
        names.push_back(*name);
      }
    }
    if (!names.empty()) out.set("tokenizer.chat_templates", Value::strings(std::move(names)));
  } else if (const auto source = text_of(given)) {
    out.set("tokenizer.chat_template", Value::string(*source));
  }
  if (files.chat_template_jinja)
    out.set("tokenizer.chat_template", Value::string(*files.chat_template_jinja));
}

/// Ids up to the number of embedding rows, all texts distinct.
Status finish(uint64_t vocab_size, Building& v, Metadata& out) {
  if (vocab_size > Building::max_ids)
    return bad_data("a vocabulary of {} tokens is larger than any real one", vocab_size);
  if (vocab_size > 0 && v.texts.size() > vocab_size) {
    return bad_data("the tokenizer has ids up to {}, but the embedding has {} rows", v.texts.size() - 1,
                    vocab_size);
  }
  const size_t count = vocab_size > 0 ? static_cast<size_t>(vocab_size) : v.texts.size();
  StringTable known;
  for (size_t id = 0; id < v.texts.size(); ++id) {
    if (!v.present[id]) continue;
    const auto [other, fresh] = known.insert(v.texts[id]);
    if (!fresh) return bad_data("the tokenizer has the token {} twice", quote(v.texts[id]));
  }
  for (size_t id = 0; id < count; ++id) {
    if (id < v.present.size() && v.present[id]) continue;
    std::string text = fmt::format("[PAD{}]", id);
    while (!known.insert(text).second) text += "_";
    CARAT_DO(v.put(id, std::move(text), TokenType::unused, -10000.0f));
  }
  out.set("tokenizer.ggml.tokens", Value::strings(std::move(v.texts)));
  out.set("tokenizer.ggml.token_type", Value::i32s(std::move(v.types)));
  CARAT_TRY(const auto* model, out.string_at("tokenizer.ggml.model"));
  if (*model == "llama" || *model == "t5") out.set("tokenizer.ggml.scores", Value::f32s(std::move(v.scores)));
  return {};
}

}  // namespace

Status add_tokenizer_metadata(const HfTokenizerFiles& files, uint64_t vocab_size, Metadata& out) {
  OtherFiles other;
  CARAT_TRY(other.tokenizer, parse_file(files.tokenizer_json, "tokenizer.json"));
  CARAT_TRY(other.config, parse_file(files.tokenizer_config_json, "tokenizer_config.json"));
  CARAT_TRY(other.special_map, parse_file(files.special_tokens_map_json, "special_tokens_map.json"));
  CARAT_TRY(other.generation, parse_file(files.generation_config_json, "generation_config.json"));
  CARAT_TRY(other.model_config, parse_file(files.config_json, "config.json"));

  Building v;
  const json::value* model = json_find(other.tokenizer, "model");
  const bool byte_fallback = model && flag_of(*model, "byte_fallback", false);
  const std::string type = model ? text_of(json_find(*model, "type")).value_or("BPE") : "";
  if (type == "WordPiece") {
    CARAT_DO(read_word_piece(other.tokenizer, *model, v, out));
  } else if (type == "Unigram") {
    CARAT_DO(read_unigram(other.tokenizer, *model, v, out));
  } else if (model && type != "BPE") {
    return bad_data("tokenizer.json: model.type is {}, but carat knows BPE, Unigram and WordPiece",
                    quote(type));
  } else if (model && !byte_fallback) {
    CARAT_DO(read_byte_level(other.tokenizer, *model, v, out));
  } else if (files.tokenizer_model) {
    CARAT_DO(read_sentencepiece(*files.tokenizer_model, v, out));
    CARAT_DO(put_added_tokens(other.tokenizer, v));
  } else if (model) {
    CARAT_DO(read_byte_fallback(other.tokenizer, *model, v, out));
  } else if (files.tokenizer_json) {
    return bad_data("tokenizer.json has no model, which holds the vocabulary");
  } else {
    return error(Code::no_input, "the model has neither tokenizer.json nor tokenizer.model");
  }
  CARAT_DO(set_special_ids(other, v, out));
  if (model && !out.has("tokenizer.ggml.unknown_token_id")) {
    const auto unknown = text_of(json_find(*model, "unk_token"));
    const auto found = unknown ? std::ranges::find(v.texts, *unknown) : v.texts.end();
    if (found != v.texts.end()) {
      out.set("tokenizer.ggml.unknown_token_id", Value::u32(static_cast<uint32_t>(found - v.texts.begin())));
    }
  }
  set_added(other, v, model != nullptr, out);
  set_chat_template(files, other.config, out);
  return finish(vocab_size, v, out);
}

}  // namespace carat
