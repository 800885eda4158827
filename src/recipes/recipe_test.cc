#include "recipes/recipe.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

const ModelFacts kSmall{"llama", 2, 2, 0};

std::vector<TensorFacts> small(int64_t columns) {
  std::vector<TensorFacts> t{{"token_embd.weight", {32, columns}, &encoding_bf16()},
                             {"output.weight", {32, columns}, &encoding_bf16()},
                             {"output_norm.weight", {columns}, &encoding_bf16()}};
  for (int i = 0; i < 2; ++i)
    for (const char* name : {"attn_q", "attn_k", "attn_v", "ffn_down"})
      t.push_back({fmt::format("blk.{}.{}.weight", i, name), {8, columns}, &encoding_bf16()});
  return t;
}

const TensorChoice& of(const std::vector<TensorChoice>& choices, const std::vector<TensorFacts>& tensors,
                       std::string_view name) {
  for (size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].name == name) return choices[i];
  ADD_FAILURE() << name;
  return choices[0];
}

TEST(Recipe, NamesIgnoreCaseAndKnowTheAliases) {
  EXPECT_EQ(named_recipe("q4_k_m")->name, "Q4_K_M");
  EXPECT_EQ(named_recipe("Q3_K")->name, "Q3_K_M");
  EXPECT_EQ(named_recipe("q4_K")->name, "Q4_K_M");
  EXPECT_EQ(named_recipe("Q5_K")->name, "Q5_K_M");
  EXPECT_EQ(named_recipe("Q6_K")->file_type, 18u);
  const auto missing = named_recipe("Q4_K_XL");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Code::usage);
  EXPECT_NE(missing.error().message.find("Q4_K_M"), std::string::npos);
  for (const auto name : recipe_names()) EXPECT_TRUE(named_recipe(name).ok()) << name;
}

TEST(Recipe, FactsComeFromTheMetadata) {
  Metadata m;
  m.set("general.architecture", Value::string("qwen2"));
  m.set("qwen2.block_count", Value::u32(24));
  m.set("qwen2.attention.head_count", Value::u32(14));
  m.set("qwen2.attention.head_count_kv", Value::u32(2));
  const auto facts = read_model_facts(m);
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->layers, 24);
  EXPECT_EQ(facts->queries_per_kv, 7);
  EXPECT_EQ(facts->experts, 0);
  m.set("qwen2.attention.head_count_kv", Value::i32s({0, 2, 2}));  // hybrid models: one number per layer
  EXPECT_EQ(read_model_facts(m)->queries_per_kv, 7);
  m.set("qwen2.block_count", Value::u64(1ull << 60));
  EXPECT_EQ(read_model_facts(m).error().code, Code::bad_data);
  m.set("qwen2.block_count", Value::string("24"));
  EXPECT_EQ(read_model_facts(m).error().code, Code::bad_data);
  EXPECT_EQ(read_model_facts(Metadata{})->layers, 0);
}

TEST(Recipe, TheFirstRuleThatMatchesWins) {
  Recipe recipe = named_recipe("Q4_K_M").value();
  recipe.rules = {parse_tensor_rule("blk\\.0\\..*=q8_0").value(), parse_tensor_rule("attn_k=Q5_K").value()};
  const auto tensors = small(256);
  const auto choices = assign_encodings(recipe, kSmall, tensors, {});
  ASSERT_TRUE(choices.ok()) << choices.error().message;
  EXPECT_EQ(of(*choices, tensors, "blk.0.attn_k.weight").encoding->name, "Q8_0");
  EXPECT_EQ(of(*choices, tensors, "blk.1.attn_k.weight").encoding->name, "Q5_K");
  EXPECT_EQ(of(*choices, tensors, "blk.1.attn_k.weight").reason, "rule attn_k=Q5_K");
  EXPECT_EQ(of(*choices, tensors, "blk.1.attn_q.weight").encoding->name, "Q4_K");
}

TEST(Recipe, PatternsAreCaseSensitiveAndMayHoldAnEqualsSign) {
  EXPECT_EQ(parse_tensor_rule("a(?=b)=Q8_0")->tensor, "a(?=b)");
  EXPECT_EQ(parse_tensor_rule("x=Q9_9").error().code, Code::usage);
  EXPECT_EQ(parse_tensor_rule("Q8_0").error().code, Code::usage);
  EXPECT_EQ(parse_tensor_rule("attn_(=F16").error().code, Code::usage);
  const auto name_only = parse_tensor_rule("x=Q2_0");  // GGUF has it, carat cannot compute with it
  ASSERT_FALSE(name_only.ok());
  EXPECT_NE(name_only.error().message.find("no encoding 'Q2_0'; it has "), std::string::npos);
  EXPECT_NE(name_only.error().message.find(" Q4_K"), std::string::npos);
  Recipe recipe = named_recipe("Q8_0").value();
  recipe.rules = {parse_tensor_rule("ATTN_K=F16").value()};
  EXPECT_EQ(assign_encodings(recipe, kSmall, small(256), {}).error().code, Code::usage);
}

TEST(Recipe, RulesThatDoNothingAreErrors) {
  Recipe recipe = named_recipe("Q8_0").value();
  recipe.rules = {parse_tensor_rule("attn_qkv=F16").value()};
  auto nothing = assign_encodings(recipe, kSmall, small(256), {});
  ASSERT_FALSE(nothing.ok());
  EXPECT_NE(nothing.error().message.find("matches no tensor"), std::string::npos);
  recipe.rules = {parse_tensor_rule("_norm=F16").value()};
  nothing = assign_encodings(recipe, kSmall, small(256), {});
  ASSERT_FALSE(nothing.ok());
  EXPECT_NE(nothing.error().message.find("never quantized"), std::string::npos);
  recipe.rules = {{"attn_(", &encoding_f16()}};
  EXPECT_EQ(assign_encodings(recipe, kSmall, small(256), {}).error().code, Code::usage);
  recipe.rules = {{"(.*.*.*.*.*.*.*.*)*x$", &encoding_f16()}};  // would backtrack for ever
  EXPECT_EQ(assign_encodings(recipe, kSmall, small(256), {}).error().code, Code::usage);
}

TEST(Recipe, KeptTensorsAreWidenedNotQuantized) {
  const auto tensors = small(256);
  const auto choices = assign_encodings(named_recipe("Q4_0").value(), kSmall, tensors, {});
  ASSERT_TRUE(choices.ok());
  const TensorChoice& norm = of(*choices, tensors, "output_norm.weight");
  EXPECT_TRUE(norm.kept);
  EXPECT_EQ(norm.encoding, &encoding_f32());
}

TEST(Recipe, AShapeThatDoesNotFitIsAnErrorThatProposes) {
  const auto tensors = small(576);
  const auto refused = assign_encodings(named_recipe("Q4_K_M").value(), kSmall, tensors, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::usage);
  for (const char* part :
       {"token_embd.weight", "576", "Q4_K", "256", "Q5_0", "--allow-fallback", "--widen", "9 more"})
    EXPECT_NE(refused.error().message.find(part), std::string::npos)
        << part << ": " << refused.error().message;

  const auto allowed =
      assign_encodings(named_recipe("Q4_K_M").value(), kSmall, tensors, {.allow_fallback = true});
  ASSERT_TRUE(allowed.ok());
  const TensorChoice& q = of(*allowed, tensors, "blk.0.attn_q.weight");
  EXPECT_EQ(q.encoding->name, "Q5_0");
  ASSERT_TRUE(q.wanted);
  EXPECT_EQ(q.wanted->name, "Q4_K");
  EXPECT_FALSE(of(*allowed, tensors, "output_norm.weight").wanted);

  Recipe ruled = named_recipe("Q8_0").value();
  ruled.rules = {parse_tensor_rule("attn_q=Q6_K").value()};
  EXPECT_NE(assign_encodings(ruled, kSmall, tensors, {}).error().message.find("blk.0.attn_q.weight"),
            std::string::npos);
}

TEST(Recipe, FallbacksAreLlamaCppsThenF16) {
  const auto fall = [](std::string_view wanted, int64_t columns) {
    return fallback_encoding(*find_encoding(wanted), columns).name;
  };
  EXPECT_EQ(fall("IQ4_XS", 576), "IQ4_NL");
  EXPECT_EQ(fall("Q2_K", 576), "Q4_0");
  EXPECT_EQ(fall("Q3_K", 576), "Q4_0");
  EXPECT_EQ(fall("Q4_K", 576), "Q5_0");
  EXPECT_EQ(fall("Q5_K", 576), "Q5_1");
  EXPECT_EQ(fall("Q6_K", 576), "Q8_0");
  EXPECT_EQ(fall("Q6_K", 172), "F16");
  EXPECT_EQ(fall("Q8_0", 172), "F16");
}

TEST(RuleFile, RoundTripsAndKeepsBackslashes) {
  const auto recipe = parse_rule_file(
      "# more bits where it hurts\nbase = \"q4_k_m\"\n[[rule]]\ntensor = '^blk\\.(0|1)\\.'\nencoding = "
      "\"Q6_K\"\n"
      "[[rule]]\ntensor = \"attn_v\"\nencoding = \"q8_0\"\n",
      "mine.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  EXPECT_EQ(recipe->name, "Q4_K_M");
  ASSERT_EQ(recipe->rules.size(), 2u);
  EXPECT_EQ(recipe->rules[0].tensor, "^blk\\.(0|1)\\.");
  EXPECT_EQ(recipe->rules[1].encoding->name, "Q8_0");
  Recipe odd = *recipe;
  odd.rules.push_back({"it's \"odd\"\n\\d", &encoding_f16()});
  const auto back = parse_rule_file(format_rule_file(odd), "again");
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back->rules.size(), odd.rules.size());
  for (size_t i = 0; i < odd.rules.size(); ++i) {
    EXPECT_EQ(back->rules[i].tensor, odd.rules[i].tensor);
    EXPECT_EQ(back->rules[i].encoding, odd.rules[i].encoding);
  }
}

TEST(RuleFile, MistakesNameFileAndLine) {
  const struct {
    const char* text;
    const char* expected;
  } cases[] = {
      {"base = \"Q4_K_M\"\n[[rule]]\ntensor='x'\nencodign='Q6_K'\n", "f.toml:4"},
      {"base = \"Q4_K_M\"\nrules = 3\n", "f.toml:2"},
      {"base = \"Q4_X\"\n", "f.toml:1"},
      {"[[rule]]\ntensor='x'\nencoding='Q6_K'\n", "needs base"},
      {"base = \"Q4_K_M\"\n[rule]\ntensor='x'\nencoding='Q6_K'\n", "[[rule]]"},
      {"base = \"Q4_K_M\"\n[[rule]]\ntensor='x'\nencoding='Q66'\n", "Q66"},
      {"base = \"Q4_K_M\"\n[[rule]]\ntensor='x'\n", "f.toml:2"},
      {"base = \"Q4_K_M\"\n\n[[rule]]\ntensor='x'\nencoding='Q2_0'\n", "f.toml:3"},
      {"base = \"Q4_K_M\"\n\n[[rule]]\ntensor='attn_('\nencoding='Q6_K'\n", "f.toml:3"},
      {"base = = 3\n", "f.toml:1"},
      {"base = \"Q4_K_M\"\nrule = [};\n", "f.toml:2"},
  };
  std::string deep = "a";  // the parser itself would exhaust the stack
  for (int i = 0; i < 200'000; ++i) deep += ".a";
  EXPECT_FALSE(parse_rule_file(deep + " = 1\n", "f.toml").ok());
  for (const auto& [text, expected] : cases) {
    const auto r = parse_rule_file(text, "f.toml");
    ASSERT_FALSE(r.ok()) << text;
    EXPECT_EQ(r.error().code, Code::bad_data);
    EXPECT_NE(r.error().message.find(expected), std::string::npos) << r.error().message;
  }
}

TEST(RuleFile, ANameOpensAMixAndAPathAFile) {
  EXPECT_EQ(open_recipe("iq4_xs")->name, "IQ4_XS");
  EXPECT_EQ(open_recipe("Q4_K_XL").error().code, Code::usage);
  EXPECT_EQ(open_recipe("/nowhere/mine.toml").error().code, Code::no_input);
}

}  // namespace
}  // namespace carat
