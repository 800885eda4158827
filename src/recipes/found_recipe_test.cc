#include "recipes/found_recipe.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace carat {
namespace {

const ModelFacts kModel{"llama", 12, 2, 0};

struct Example {
  std::vector<TensorFacts> tensors;
  std::vector<FoundChoice> choices;  ///< of all but the norms
};

/// Names that are each other's beginnings and ends, and one full of what patterns take for their own.
Example example(uint64_t seed) {
  Example e;
  Random random(seed);
  const char* encodings[] = {"Q3_K", "Q4_K", "IQ4_XS", "Q6_K", "BF16"};
  const auto add = [&](std::string name) {
    e.tensors.push_back({name, {8, 256}, &encoding_bf16()});
    e.choices.push_back({std::move(name), find_encoding(encodings[random.next() % 5]), 8 * 256, 0.001});
  };
  add("token_embd.weight");
  add("output.weight");
  add("a.(b|c)*[d]$.weight");
  for (int l = 0; l < 12; ++l) {
    e.tensors.push_back({fmt::format("blk.{}.attn_norm.weight", l), {256}, &encoding_f32()});
    for (const char* part : {"attn_q", "attn_k", "attn_qkv", "ffn_up"})
      add(fmt::format("blk.{}.{}.weight", l, part));
  }
  return e;
}

void expect_assigned(const Recipe& recipe, const Example& e, size_t except = SIZE_MAX) {
  const auto assigned = assign_encodings(recipe, kModel, e.tensors, {});
  ASSERT_TRUE(assigned.ok()) << assigned.error().message;
  size_t c = 0;
  for (size_t i = 0; i < e.tensors.size(); ++i) {
    if ((*assigned)[i].kept) continue;
    EXPECT_TRUE((*assigned)[i].by_rule) << e.tensors[i].name;
    if (c++ == except) continue;
    EXPECT_EQ((*assigned)[i].encoding, e.choices[c - 1].encoding) << e.tensors[i].name;
  }
}

TEST(FoundRecipe, GivesEveryTensorWhatWasChosenAndSoDoesItsFile) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Example e = example(seed);
    const auto found = found_recipe({}, e.choices);
    ASSERT_TRUE(found.ok()) << found.error().message;
    expect_assigned(found->recipe, e);
    const std::string file = format_rule_file(found->recipe, "two\nlines", found->comments);
    EXPECT_TRUE(file.starts_with("# two\n# lines\nbase = ")) << file;
    EXPECT_NE(file.find("# 1 tensor of 0.002 million weights, predicted KL 0.00100"), std::string::npos)
        << file;
    const auto read = parse_rule_file(file, "found.toml");
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->name, found->recipe.name);
    EXPECT_EQ(format_rule_file(*read), format_rule_file(found->recipe));
    expect_assigned(*read, e);
    // One rule per part and encoding, however many layers there are.
    EXPECT_LE(found->recipe.rules.size(), 3u + 4 * 5);
  }
}

TEST(FoundRecipe, UsersRulesComeFirst) {
  Example e = example(3);
  const EncodingRule pin = *parse_tensor_rule("^output=Q8_0");
  const auto found = found_recipe({&pin, 1}, e.choices);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->comments.size(), found->recipe.rules.size());
  EXPECT_EQ(format_tensor_rule(found->recipe.rules.front()), "^output=Q8_0");
  EXPECT_EQ(found->comments.front(), "");
  expect_assigned(found->recipe, e, 1);
}

}  // namespace
}  // namespace carat
