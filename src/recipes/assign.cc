// The engine that applies a recipe: kept tensors first, then the user's rules, then the mix, then the shape.
#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>

#include "recipes/mixes.h"
#include "recipes/name_pattern.h"
#include "recipes/recipe.h"

namespace carat {
namespace {

/// N of a name that begins "blk.N.", or -1.
int64_t layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  int64_t layer = -1;
  const char* begin = name.data() + 4;
  const char* end = name.data() + name.size();
  const auto [stop, failure] = std::from_chars(begin, end, layer);
  return failure == std::errc{} && stop != end && *stop == '.' ? layer : -1;
}

Part part_of(std::string_view name) {
  if (name == "output.weight") return Part::output;
  for (const PartPattern& p : part_patterns())
    if (name.find(p.text) != std::string_view::npos) return p.part;
  return Part::other;
}

bool has_word(std::string_view words, std::string_view word) {
  if (words == "*") return true;
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    if (words.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

/// Where a tensor stands among those of its part.
struct Place {
  int64_t i = 0, n = 0;
  bool stacked = false;
};

bool holds(uint32_t when, const ModelFacts& facts, Place place, bool is_calibrated, bool is_ragged) {
  const auto [i, n, is_stacked] = place;
  const auto all = [&](uint32_t bit, bool fact) { return !(when & bit) || fact; };
  const bool is_70b = facts.layers == 80 && ((facts.architecture == "llama" && facts.queries_per_kv > 1) ||
                                             facts.architecture == "qwen2");
  return all(first_2, i < 2) && all(first_4, i < 4) && all(first_sixteenth, i < n / 16) &&
         all(first_eighth, i < n / 8) &&
         all(sensitive_layers, i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2) &&
         all(grouped_queries, facts.queries_per_kv >= 4) && all(eight_experts, facts.experts == 8) &&
         all(class_70b, is_70b) && all(falcon, facts.architecture == "falcon") &&
         all(calibrated, is_calibrated) && all(uncalibrated, !is_calibrated) &&
         all(four_experts, facts.experts >= 4) && all(middle_layers, i >= n / 8 && i < 7 * n / 8) &&
         all(ragged, is_ragged) && all(stacked, is_stacked);
}

/// Why a tensor is never quantized, or null.
struct Kept {
  std::string_view reason;
  bool widen;
};
std::optional<Kept> kept(const TensorFacts& t) {
  // As in GGUF, outer dimensions of 1 do not count.
  const auto outer = std::find_if(t.shape.begin(), t.shape.end(), [](int64_t n) { return n != 1; });
  if (t.shape.end() - outer < 2) return Kept{"a vector", true};
  if (!t.name.ends_with("weight")) return Kept{"not a weight", true};
  for (const KeptTensor& k : kept_tensors())
    if (t.name.find(k.text) != std::string::npos) return Kept{k.reason, k.widen};
  return std::nullopt;
}

/// Places of all tensors that a mix may quantize, in llama.cpp's order: by layer, then by name. The order of
/// the file (shards sort layer 10 before layer 2) must not matter.
std::vector<Place> find_places(std::span<const TensorFacts> tensors, std::span<const Part> parts,
                               const std::vector<bool>& is_kept, const ModelFacts& facts) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<int64_t> layers(tensors.size());
  for (size_t k = 0; k < tensors.size(); ++k) layers[k] = layer_of(tensors[k].name);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layers[a] != layers[b] ? layers[a] < layers[b] : tensors[a].name < tensors[b].name;
  });
  // Not every layer of a hybrid model has attention, so v counts itself.
  const int64_t v_tensors = std::count(parts.begin(), parts.end(), Part::attn_v);
  std::map<Part, int64_t> seen;
  std::vector<Place> places(tensors.size());
  for (const size_t k : order) {
    if (is_kept[k]) continue;
    const Part part = parts[k];
    const bool by_layer =
        facts.experts > 1 && part != Part::attn_v && layers[k] >= 0;  // several per layer there
    places[k] = {by_layer ? layers[k] : seen[part]++, part == Part::attn_v ? v_tensors : facts.layers};
  }
  return places;
}

/// What the mix says, whether or not it fits.
Result<TensorChoice> choose(const Recipe& recipe, const ModelFacts& facts, Part part, Place place,
                            int64_t columns, bool is_calibrated) {
  for (const MixRule& rule : mix_rules()) {
    if (rule.part != part || !has_word(rule.mixes, recipe.name)) continue;
    if (!holds(rule.when, facts, place, is_calibrated, !recipe.base->fits(columns))) continue;
    const Encoding* e = rule.encoding.empty() ? recipe.base : find_encoding(rule.encoding);
    if (!e)
      return error(Code::internal, "{} wants {}, which is not in the list of encodings", recipe.name,
                   rule.encoding);
    return TensorChoice{e, fmt::format("{}: {}", recipe.name, part_name(part)), false, nullptr};
  }
  return TensorChoice{recipe.base, recipe.name, false, nullptr};
}

/// The user's rules, compiled, with a count of what each matched.
struct CompiledRule {
  const EncodingRule* rule;
  NamePattern pattern;
  int64_t matches = 0, kept = 0;
};

Result<std::vector<CompiledRule>> compile(const Recipe& recipe) {
  std::vector<CompiledRule> rules;
  for (const EncodingRule& r : recipe.rules) {
    CARAT_TRY(NamePattern pattern, NamePattern::compile(r.tensor));
    rules.push_back({&r, std::move(pattern)});
  }
  return rules;
}

Status every_rule_matched(std::span<const CompiledRule> rules) {
  for (const CompiledRule& r : rules) {
    if (r.matches > 0) continue;
    if (r.kept > 0)
      return usage_error(
          "the rule {} matches only tensors that are never quantized (vectors, norms, routers)",
          format_tensor_rule(*r.rule));
    return usage_error("the rule {} matches no tensor; `carat inspect` lists their names",
                       format_tensor_rule(*r.rule));
  }
  return {};
}

/// One sentence for all tensors that the recipe does not fit, detailed for the first.
Error does_not_fit(std::span<const TensorFacts> tensors, std::span<const TensorChoice> choices,
                   size_t first) {
  const TensorFacts& t = tensors[first];
  const TensorChoice& c = choices[first];
  const int64_t others =
      std::count_if(choices.begin(), choices.end(), [](const auto& o) { return o.wanted; }) - 1;
  std::string also;
  if (others > 0) also = fmt::format(" (and {} more tensor{})", others, others == 1 ? "" : "s");
  return usage_error(
      "{}{}: rows of {} columns do not divide into {}'s blocks of {}. Choose an encoding that fits, such as "
      "--tensor '{}={}', or give leave to take one of its own with --allow-fallback, or make the rows longer "
      "with "
      "`carat convert --widen`",
      t.name, also, t.shape.back(), c.wanted->name, c.wanted->block, t.name, c.encoding->name);
}

}  // namespace

bool requires_importance(std::string_view recipe, std::string_view tensor, const Encoding& encoding) {
  if (tensor.find("token_embd.weight") != std::string_view::npos || tensor == "output.weight") return false;
  return std::ranges::any_of(importance_needs(), [&](const ImportanceNeed& n) {
    return n.encoding == encoding.name && has_word(n.mixes, recipe);
  });
}

std::string low_bit_warning(std::string_view recipe, std::span<const Encoding* const> of_matrices) {
  const auto low =
      std::ranges::count_if(of_matrices, [](const Encoding* e) { return e->bits_per_weight() < 4; });
  if (low == 0) return {};
  std::string text = fmt::format(
      "experimental: {} of {} matrices get less than 4 bits per weight, which changes what a model says", low,
      of_matrices.size());
  for (const KnownLoss& k : known_losses())
    if (k.mix == recipe)
      text += fmt::format(
          ". llama.cpp publishes for {} of Llama-3-8B a mean KL of {} and a perplexity of {} instead of "
          "6.233",
          recipe, k.kl, k.perplexity);
  return text +
         ". docs/methods.md has what carat's methods leave of such losses; measure this one with `carat "
         "perplexity --reference`";
}

const Encoding& fallback_encoding(const Encoding& wanted, int64_t columns) {
  if (wanted.group > 32) {
    const std::string_view kind = wanted.name.substr(0, wanted.name.rfind('_'));
    for (const int group : {128, 64, 32}) {
      const Encoding* instead = find_encoding(fmt::format("{}_G{}", kind, group));
      if (instead && group < wanted.group && instead->fits(columns)) return *instead;
    }
  }
  for (const Fallback& f : fallbacks()) {
    if (f.wanted != wanted.name) continue;
    const Encoding* instead = find_encoding(f.instead);
    if (instead && instead->fits(columns)) return *instead;
  }
  return encoding_f16();
}

Result<std::vector<TensorChoice>> assign_encodings(const Recipe& recipe, const ModelFacts& facts,
                                                   std::span<const TensorFacts> tensors,
                                                   const AssignOptions& options) {
  CARAT_TRY(std::vector<CompiledRule> rules, compile(recipe));
  std::vector<TensorChoice> choices(tensors.size());
  std::vector<Part> parts(tensors.size());
  std::vector<bool> is_kept(tensors.size());
  bool untied = false;
  for (size_t k = 0; k < tensors.size(); ++k) {
    const TensorFacts& t = tensors[k];
    parts[k] = part_of(t.name);
    untied = untied || parts[k] == Part::output;
    if (const auto why = kept(t)) {
      const bool widen = why->widen && (t.source == &encoding_f16() || t.source == &encoding_bf16());
      choices[k] = {widen ? &encoding_f32() : t.source, fmt::format("kept: {}", why->reason), true, nullptr};
      is_kept[k] = true;
    }
  }
  if (!untied)
    for (Part& part : parts)
      if (part == Part::embedding) part = Part::output;

  std::vector<Place> places = find_places(tensors, parts, is_kept, facts);
  for (size_t k = 0; k < tensors.size(); ++k) places[k].stacked = tensors[k].shape.size() == 3;
  size_t misfit = tensors.size();
  for (size_t k = 0; k < tensors.size(); ++k) {
    const TensorFacts& t = tensors[k];
    const EncodingRule* decisive = nullptr;
    for (CompiledRule& r : rules) {
      CARAT_TRY(const bool found, r.pattern.found_in(t.name));
      if (!found) continue;
      ++(is_kept[k] ? r.kept : r.matches);
      if (!decisive) decisive = r.rule;
    }
    if (is_kept[k]) continue;
    TensorChoice& choice = choices[k];
    if (decisive) {
      choice = {decisive->encoding, fmt::format("rule {}", format_tensor_rule(*decisive)), false, nullptr,
                true};
    } else if (recipe.base->is_float || recipe.base->is_grouped()) {
      choice = {recipe.base, recipe.name, false, nullptr};  // these have no mix
    } else {
      CARAT_TRY(choice, choose(recipe, facts, parts[k], places[k], t.shape.back(), options.calibrated));
    }
    if (choice.encoding->fits(t.shape.back())) continue;
    choice.wanted = choice.encoding;
    choice.encoding = &fallback_encoding(*choice.wanted, t.shape.back());
    misfit = std::min(misfit, k);
  }
  CARAT_DO(every_rule_matched(rules));
  if (misfit < tensors.size() && !options.allow_fallback) return does_not_fit(tensors, choices, misfit);
  return choices;
}

}  // namespace carat
