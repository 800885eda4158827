// A mix found by an allocator as a recipe that people can read, edit and use without it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "recipes/recipe.h"

namespace carat {

struct FoundChoice {
  std::string tensor;
  const Encoding* encoding = nullptr;
  int64_t weights = 0;
  double predicted_kl = 0;
};

struct FoundRecipe {
  Recipe recipe;
  std::vector<std::string> comments;  ///< one per rule; empty for the user's
};

/// The user's rules, then rules that name every tensor of `choices`: those of all layers that play one part
/// and get the same encoding share a rule. The base is a mix of the encoding that most weights get; since
/// every tensor has a rule, only the file's type depends on it. Code::internal where no encoding of the
/// choices has a mix.
Result<FoundRecipe> found_recipe(std::span<const EncodingRule> users, std::span<const FoundChoice> choices);

}  // namespace carat
