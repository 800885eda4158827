#include "recipes/found_recipe.h"

#include <algorithm>
#include <map>

#include "recipes/mixes.h"

namespace carat {
namespace {

/// "blk.12.attn_v.weight" as 12 and "attn_v.weight"; other names as "" and themselves.
std::pair<std::string, std::string> layer_and_part(const std::string& name) {
  if (!name.starts_with("blk.")) return {"", name};
  const size_t dot = name.find_first_not_of("0123456789", 4);
  if (dot == 4 || dot == std::string::npos || name[dot] != '.') return {"", name};
  return {name.substr(4, dot - 4), name.substr(dot + 1)};
}

/// A pattern that matches just this text.
std::string literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(R"(\.^$|()[]{}*+?)").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

struct Group {
  std::vector<std::string> layers;
  int64_t weights = 0;
  double predicted = 0;
};

Result<Recipe> base_of(std::span<const FoundChoice> choices) {
  std::map<const Encoding*, int64_t> weights;
  for (const FoundChoice& c : choices) weights[c.encoding] += c.weights;
  const Mix* best = nullptr;
  int64_t most = -1;
  for (const Mix& mix : all_mixes()) {
    const auto at = weights.find(find_encoding(mix.base));
    if (at == weights.end() || at->second <= most) continue;
    best = &mix;
    most = at->second;
  }
  if (!best) return named_recipe(all_mixes().front().name);
  return named_recipe(best->name);
}

}  // namespace

Result<FoundRecipe> found_recipe(std::span<const EncodingRule> users, std::span<const FoundChoice> choices) {
  FoundRecipe found;
  CARAT_TRY(found.recipe, base_of(choices));
  found.recipe.rules.assign(users.begin(), users.end());
  found.comments.resize(users.size());

  // By part in the order of the choices, and within it by encoding.
  std::vector<std::string> parts;
  std::map<std::string, std::vector<std::pair<const Encoding*, Group>>> groups;
  for (const FoundChoice& c : choices) {
    const auto [layer, part] = layer_and_part(c.tensor);
    auto& of_part = groups[part];
    if (of_part.empty()) parts.push_back(part);
    auto at = std::ranges::find(of_part, c.encoding, [](const auto& g) { return g.first; });
    if (at == of_part.end()) at = of_part.insert(of_part.end(), {c.encoding, {}});
    at->second.layers.push_back(layer);
    at->second.weights += c.weights;
    at->second.predicted += c.predicted_kl;
  }
  for (const std::string& part : parts) {
    auto& of_part = groups[part];
    // The commonest comes last, and for all layers that are left.
    std::ranges::stable_sort(of_part, {}, [](const auto& g) { return g.second.layers.size(); });
    for (size_t g = 0; g < of_part.size(); ++g) {
      const auto& [encoding, group] = of_part[g];
      const bool layered = !group.layers.front().empty();
      const bool rest = g + 1 == of_part.size();
      std::string pattern = "^" + literal(part) + "$";
      if (layered) {
        const std::string these = fmt::format("{}", fmt::join(group.layers, "|"));
        pattern = fmt::format(R"(^blk\.{}\.{}$)",
                              rest                       ? R"(\d+)"
                              : group.layers.size() == 1 ? these
                                                         : "(" + these + ")",
                              literal(part));
      }
      found.recipe.rules.push_back({std::move(pattern), encoding});
      found.comments.push_back(fmt::format("{} tensor{} of {:.3f} million weights, predicted KL {:.5f}",
                                           group.layers.size(), group.layers.size() == 1 ? "" : "s",
                                           static_cast<double>(group.weights) / 1e6, group.predicted));
    }
  }
  return found;
}

}  // namespace carat
