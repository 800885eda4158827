// Hugging Face tokenizer files <-> GGUF's tokenizer.ggml.* metadata.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "containers/metadata.h"

namespace carat {

/// Texts of the files of a model directory; those that are absent are empty optionals.
struct HfTokenizerFiles {
  std::optional<std::string> tokenizer_json;
  std::optional<std::string> tokenizer_config_json;
  std::optional<std::string> special_tokens_map_json;
  std::optional<std::string> generation_config_json;
  std::optional<std::string> tokenizer_model;  ///< SentencePiece protobuf
  std::optional<std::string> chat_template_jinja;
  std::string config_json;
};

/// Adds tokenizer.ggml.{model,pre,tokens,scores,token_type,merges,*_token_id,add_*} and
/// tokenizer.chat_template. `vocab_size` is the number of embedding rows: missing ids become [PADn] unused
/// tokens, as llama.cpp's converter names them. The pre-tokenizer is recognised by the structure of the
/// pre_tokenizer in tokenizer.json (its regular expressions); an unknown one is an error that says what to
/// do.
Status add_tokenizer_metadata(const HfTokenizerFiles& files, uint64_t vocab_size, Metadata& out);

/// The reverse: writes tokenizer.json (or tokenizer.model is reproduced as tokenizer.json of type BPE with
/// byte fallback), tokenizer_config.json with the chat template, special_tokens_map.json and
/// generation_config.json from GGUF metadata, such that Hugging Face's tokenizers library gives the same ids.
/// Returned as (file name, text).
Result<std::vector<std::pair<std::string, std::string>>> make_hf_tokenizer_files(const Metadata& metadata);

}  // namespace carat
