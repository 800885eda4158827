// Which of the known ways to cut text a tokenizer.json asks for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "containers/json.h"

namespace carat {

inline std::optional<std::string> text_of(const json::value* v) {
  const json::string* s = json_string(v);
  return s ? std::optional<std::string>(std::string(*s)) : std::nullopt;
}

inline bool flag_of(const json::value& object, std::string_view key, bool otherwise) {
  const json::value* v = json_find(object, key);
  return v && v->is_bool() ? v->get_bool() : otherwise;
}

/// tokenizer.ggml.pre for the pre_tokenizer and normalizer of a byte-level tokenizer.json; among names that
/// cut alike, one with this ignore_merges.
Result<std::string> recognise_pre_tokenizer(const json::value& tokenizer, bool ignore_merges);

/// The normalizers in order; a null one and an empty sequence are none.
Status collect_normalizers(const json::value* node, int depth, std::vector<const json::value*>& out);

/// The error for a way to cut that is not known, and what to do about it.
Error unknown_pre_tokenizer(std::string_view what);

}  // namespace carat
