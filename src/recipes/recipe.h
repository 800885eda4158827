// A recipe says which tensor gets which encoding: a named mix (mixes.cc holds them as data), and the user's
// own rules before it. Pure: facts of a model and a list of tensors in, one encoding and one reason per
// tensor out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "containers/checkpoint.h"
#include "encodings/encoding.h"

namespace carat {

/// What the mixes look at besides names and shapes.
struct ModelFacts {
  std::string architecture;  ///< GGUF's name: "llama", "qwen2", ...
  int64_t layers = 0;
  int64_t queries_per_kv = 1;  ///< query heads that share one key/value head
  int64_t experts = 0;         ///< 0 for dense models
};
/// From {architecture}.* keys. Missing keys leave the defaults (any model can be quantized); a key of the
/// wrong type, or of no sense, is bad_data.
Result<ModelFacts> read_model_facts(const Metadata& metadata);

/// A tensor before the decision.
struct TensorFacts {
  std::string name;
  std::vector<int64_t> shape;  ///< outermost first, as in Tensor
  const Encoding* source = nullptr;
};
std::vector<TensorFacts> tensor_facts(const Checkpoint& checkpoint);

/// `tensor` is a PCRE2 pattern searched for (not anchored) in names, case-sensitive.
struct EncodingRule {
  std::string tensor;
  const Encoding* encoding = nullptr;
};

struct Recipe {
  std::string name;                 ///< "Q4_K_M"
  uint32_t file_type = 0;           ///< general.file_type
  const Encoding* base = nullptr;   ///< what tensors get that no rule speaks of
  std::vector<EncodingRule> rules;  ///< the user's; the first that matches wins, before the mix
};

/// What llama.cpp writes where it cannot say: grouped encodings have no file type.
inline constexpr uint32_t kNoFileType = 1024;

/// A named mix, case ignored; "Q3_K", "Q4_K", "Q5_K" mean the _M mixes, as in llama.cpp. Or a grouped
/// encoding, which then is every matrix's, the embedding's and the output's too. usage error listing the
/// names.
Result<Recipe> named_recipe(std::string_view name);
/// All names, from the largest file to the smallest.
std::vector<std::string_view> recipe_names();

/// A rule from its parts. usage error for a pattern that does not compile, or an encoding that carat does not
/// have (of some it knows no more than their names and sizes), with the list of those it has.
Result<EncodingRule> make_rule(std::string_view tensor, std::string_view encoding);
/// "REGEX=ENCODING" as --tensor takes it; the last '=' separates. usage error for
/// another form and as make_rule().
Result<EncodingRule> parse_tensor_rule(std::string_view text);
/// The other direction.
std::string format_tensor_rule(const EncodingRule& rule);

/// A rule file: TOML, `base = "Q4_K_M"` and any number of `[[rule]]` tables with `tensor` and `encoding`.
/// Unknown keys are errors (a misspelt key would silently change a model). bad_data naming file and line.
Result<Recipe> parse_rule_file(std::string_view text, std::string_view source_name);
/// A mix's name, or else the path of a rule file.
Result<Recipe> open_recipe(const std::string& name_or_path);
/// The rule file that parse_rule_file reads back to the same recipe. Lines of `comment` go before everything,
/// those of rule_comments[i], where there are any, before rule i.
std::string format_rule_file(const Recipe& recipe, std::string_view comment = {},
                             std::span<const std::string> rule_comments = {});

struct TensorChoice {
  const Encoding* encoding = nullptr;
  std::string reason;                ///< "rule attn_v$=Q8_0", "Q4_K_M: attn_v", "kept: normalization weights"
  bool kept = false;                 ///< never quantized (its encoding may still be widened to F32)
  const Encoding* wanted = nullptr;  ///< set where the recipe's encoding did not fit the shape: a fallback
  bool by_rule = false;              ///< one of the user's rules decided
};

struct AssignOptions {
  bool calibrated = false;      ///< importance data is at hand; some mixes spend fewer bits then
  bool allow_fallback = false;  ///< apply fallback_encoding() instead of refusing
};

/// One choice per tensor, in the order given; the result does not depend on that order. Errors (usage): an
/// encoding that does not divide a row, naming tensor, columns, block and what would fit; a rule whose
/// pattern does not compile or matches no tensor that is quantized.
Result<std::vector<TensorChoice>> assign_encodings(const Recipe& recipe, const ModelFacts& facts,
                                                   std::span<const TensorFacts> tensors,
                                                   const AssignOptions& options);

/// Whether rounding a tensor to this encoding without importance data gives nothing of use, by llama.cpp's
/// rule: below 3 bits, and neither the embedding nor the output.
bool requires_importance(std::string_view recipe, std::string_view tensor, const Encoding& encoding);

/// What to expect of a file of this recipe, in a sentence that begins "experimental"; empty where no encoding
/// of a matrix has less than 4 bits per weight.
std::string low_bit_warning(std::string_view recipe, std::span<const Encoding* const> of_matrices);

/// The encoding of smaller blocks that llama.cpp takes where `wanted` does not divide `columns`; F16 as the
/// last resort.
const Encoding& fallback_encoding(const Encoding& wanted, int64_t columns);

}  // namespace carat
