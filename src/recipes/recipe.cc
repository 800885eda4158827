#include "recipes/recipe.h"

#include <algorithm>
#include <cctype>

#include "containers/mapped_file.h"
#include "recipes/mixes.h"
#include "recipes/name_pattern.h"

namespace carat {
namespace {

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

/// A count that llama.cpp also stores per layer: the first layer's then.
Result<uint64_t> count_at(const Metadata& metadata, const std::string& key, uint64_t fallback) {
  const Value* value = metadata.find(key);
  if (!value) return fallback;
  if (value->type != ValueType::array) return metadata.unsigned_at(key);
  CARAT_TRY(const auto each, metadata.integers_at(key));
  for (const int64_t n : each)
    if (n > 0) return static_cast<uint64_t>(n);
  return fallback;
}

}  // namespace

Result<ModelFacts> read_model_facts(const Metadata& metadata) {
  ModelFacts facts;
  CARAT_TRY(facts.architecture, metadata.string_or("general.architecture", ""));
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", facts.architecture, name); };
  CARAT_TRY(const uint64_t layers, metadata.unsigned_or(key("block_count"), 0));
  CARAT_TRY(const uint64_t heads, count_at(metadata, key("attention.head_count"), 1));
  CARAT_TRY(const uint64_t kv_heads, count_at(metadata, key("attention.head_count_kv"), heads));
  CARAT_TRY(const uint64_t experts, metadata.unsigned_or(key("expert_count"), 0));
  constexpr uint64_t kMost = 1u << 20;  // far above any model, and safe for the arithmetic of the mixes
  if (layers > kMost) return bad_data("{} is {}, which no model has", key("block_count"), layers);
  if (heads > kMost || kv_heads > kMost) return bad_data("{} is out of range", key("attention.head_count"));
  if (experts > kMost) return bad_data("{} is {}, which no model has", key("expert_count"), experts);
  facts.layers = static_cast<int64_t>(layers);
  facts.queries_per_kv = kv_heads > 0 ? static_cast<int64_t>(heads / kv_heads) : 1;
  facts.experts = static_cast<int64_t>(experts);
  return facts;
}

std::vector<TensorFacts> tensor_facts(const Checkpoint& checkpoint) {
  std::vector<TensorFacts> facts;
  facts.reserve(checkpoint.tensors.size());
  for (const Tensor& t : checkpoint.tensors) facts.push_back({t.name, t.shape, t.encoding});
  return facts;
}

std::vector<std::string_view> recipe_names() {
  std::vector<std::string_view> names;
  for (const Mix& m : all_mixes()) names.push_back(m.name);
  return names;
}

Result<Recipe> named_recipe(std::string_view name) {
  for (const MixAlias& a : mix_aliases())
    if (same_ignoring_case(a.name, name)) name = a.mix;
  for (const Mix& m : all_mixes()) {
    if (!same_ignoring_case(m.name, name)) continue;
    const Encoding* base = find_encoding(m.base);
    if (!base)
      return error(Code::internal, "the mix {} is built on {}, which is not in the list of encodings", m.name,
                   m.base);
    return Recipe{std::string(m.name), m.file_type, base, {}};
  }
  if (const Encoding* base = find_encoding(name); base && base->is_grouped())
    return Recipe{std::string(base->name), kNoFileType, base, {}};
  return usage_error("there is no recipe '{}'; the named ones are {}, and the grouped encodings {}", name,
                     fmt::join(recipe_names(), " "), grouped_names());
}

Result<EncodingRule> make_rule(std::string_view tensor, std::string_view encoding) {
  const Encoding* found = find_encoding(encoding);
  if (!found || !found->can_decode()) {
    std::string names;
    for (const Encoding* e : all_encodings()) names += fmt::format("{} ", e->name);
    return usage_error("carat has no encoding '{}'; it has {}{}", encoding, names, grouped_names());
  }
  CARAT_DO(NamePattern::compile(tensor));
  return EncodingRule{std::string(tensor), found};
}

Result<EncodingRule> parse_tensor_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    return usage_error("'{}' is not of the form REGEX=ENCODING, such as 'attn_v\\.weight=Q6_K'", text);
  auto rule = make_rule(text.substr(0, equals), text.substr(equals + 1));
  if (!rule) return std::move(rule).error().within(fmt::format("'{}'", text));
  return rule;
}

std::string format_tensor_rule(const EncodingRule& rule) {
  return fmt::format("{}={}", rule.tensor, rule.encoding->name);
}

Result<Recipe> open_recipe(const std::string& name_or_path) {
  auto named = named_recipe(name_or_path);
  if (named.ok() || name_or_path.find_first_of("./") == std::string::npos) return named;
  CARAT_TRY(const std::string text, read_small_file(name_or_path, 1 << 20));
  return parse_rule_file(text, name_or_path);
}

}  // namespace carat
