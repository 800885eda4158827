// The mixes against llama.cpp's own choices (golden/mixes.txt, made by tools/oracle_recipes.py) and against
// the bits per weight that its documentation states for Llama-3.1-8B.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "recipes/recipe.h"

namespace carat {
namespace {

/// One tensor pattern of the golden file, '*' standing for each layer.
std::string in_layer(std::string name, int64_t layer) {
  const size_t star = name.find('*');
  return star == std::string::npos ? name : name.replace(star, 1, std::to_string(layer));
}

struct Case {
  std::string name;
  ModelFacts facts;
  std::vector<TensorFacts> tensors;
};

Case read_case(std::istringstream& words) {
  Case c;
  words >> c.name;
  std::map<std::string, std::string> values;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    values[word.substr(0, equals)] = word.substr(equals + 1);
  }
  c.facts.architecture = values["architecture"];
  c.facts.layers = std::stoll(values["layers"]);
  c.facts.queries_per_kv = std::stoll(values["heads"]) / std::stoll(values["kv_heads"]);
  c.facts.experts = std::stoll(values["experts"]);
  return c;
}

void read_tensor(std::istringstream& words, Case& c) {
  std::string name;
  words >> name;
  std::vector<int64_t> shape;
  for (int64_t n = 0; words >> n;) shape.push_back(n);
  const int64_t layers = name.find('*') == std::string::npos ? 1 : c.facts.layers;
  for (int64_t layer = 0; layer < layers; ++layer)
    c.tensors.push_back({in_layer(name, layer), shape, &encoding_f32()});
}

/// What llama.cpp chose, by tensor name.
struct Expected {
  std::string recipe, base;
  bool calibrated = false;
  std::map<std::string, std::string> exceptions;
};

void read_exception(const std::string& name, std::istringstream& words, Expected& expected) {
  int64_t layer = 0;
  for (std::string run; words >> run;) {
    const size_t star = run.find('*');
    for (int64_t n = std::stoll(run.substr(star + 1)); n > 0; --n)
      expected.exceptions[in_layer(name, layer++)] = run.substr(0, star);
  }
}

void compare(const Case& c, const Expected& expected) {
  SCOPED_TRACE(c.name + " " + expected.recipe);
  const auto recipe = named_recipe(expected.recipe);
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  AssignOptions options{.calibrated = expected.calibrated, .allow_fallback = true};
  // A file sorted by name has layer 10 before layer 2; it must not matter.
  std::vector<TensorFacts> sorted = c.tensors;
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& tensors : {c.tensors, sorted}) {
    const auto choices = assign_encodings(*recipe, c.facts, tensors, options);
    ASSERT_TRUE(choices.ok()) << choices.error().message;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const auto exception = expected.exceptions.find(tensors[i].name);
      const bool vector = tensors[i].shape.size() == 1;
      const std::string want = vector                                   ? "F32"
                               : exception != expected.exceptions.end() ? exception->second
                                                                        : expected.base;
      EXPECT_EQ((*choices)[i].encoding->name, want) << tensors[i].name;
      EXPECT_FALSE((*choices)[i].reason.empty());
    }
  }
}

TEST(Mixes, EveryTensorGetsWhatLlamaCppGivesIt) {
  std::ifstream file(CARAT_SOURCE_DIR "/golden/mixes.txt");
  ASSERT_TRUE(file);
  Case c;
  Expected expected;
  int compared = 0;
  const auto finish_recipe = [&] {
    if (!expected.recipe.empty()) compare(c, expected), ++compared;
    expected = {};
  };
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first.starts_with("#")) continue;
    if (first == "case")
      finish_recipe(), c = read_case(words);
    else if (first == "tensor")
      read_tensor(words, c);
    else if (first == "recipe") {
      finish_recipe();
      std::string calibrated;
      words >> expected.recipe >> expected.base >> calibrated;
      expected.calibrated = !calibrated.empty();
    } else
      read_exception(first, words, expected);
  }
  finish_recipe();
  EXPECT_EQ(compared, 12 * 29 + 11 * 12);  // 12 models; codebooks for all but the one of 128 experts
}

/// Llama-3.1-8B: names and shapes as in its GGUF, rope_freqs included.
std::vector<TensorFacts> llama_8b(bool tied = false) {
  std::vector<TensorFacts> t{{"token_embd.weight", {128256, 4096}, &encoding_f16()},
                             {"output_norm.weight", {4096}, &encoding_f32()},
                             {"rope_freqs.weight", {64}, &encoding_f32()}};
  if (!tied) t.push_back({"output.weight", {128256, 4096}, &encoding_f16()});
  for (int i = 0; i < 32; ++i) {
    const auto add = [&](std::string_view name, std::vector<int64_t> shape) {
      t.push_back({fmt::format("blk.{}.{}.weight", i, name), shape,
                   shape.size() == 1 ? &encoding_f32() : &encoding_f16()});
    };
    add("attn_norm", {4096});
    add("ffn_norm", {4096});
    add("attn_q", {4096, 4096});
    add("attn_k", {1024, 4096});
    add("attn_v", {1024, 4096});
    add("attn_output", {4096, 4096});
    add("ffn_gate", {14336, 4096});
    add("ffn_up", {14336, 4096});
    add("ffn_down", {4096, 14336});
  }
  return t;
}

constexpr auto kLlama8b = [] { return ModelFacts{"llama", 32, 4, 0}; };

/// Bits per weight over all tensors, and how many tensors have each encoding.
double bits_per_weight(const std::string& name, const std::vector<TensorFacts>& tensors,
                       std::map<std::string_view, int>* counts = nullptr, bool calibrated = false) {
  const auto choices =
      assign_encodings(named_recipe(name).value(), kLlama8b(), tensors, {.calibrated = calibrated});
  EXPECT_TRUE(choices.ok()) << choices.error().message;
  double bits = 0, weights = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    double n = 1;
    for (const int64_t d : tensors[i].shape) n *= static_cast<double>(d);
    bits += n * (*choices)[i].encoding->bits_per_weight();
    weights += n;
    if (counts) ++(*counts)[(*choices)[i].encoding->name];
  }
  return bits / weights;
}

struct Published {
  const char* recipe;
  double bits;
};

TEST(Mixes, BitsPerWeightOfLlama8bAreThePublishedOnes) {
  // llama.cpp, tools/quantize/README.md; to its 4 decimals.
  const Published table[] = {{"IQ4_XS", 4.4597},  {"IQ4_NL", 4.6818}, {"Q2_K_S", 2.9697}, {"Q2_K", 3.1593},
                             {"Q3_K_S", 3.6429},  {"Q3_K_L", 4.2979}, {"Q4_K_S", 4.6672}, {"Q4_K_M", 4.8944},
                             {"Q5_K_S", 5.5704},  {"Q5_K_M", 5.7036}, {"Q6_K", 6.5633},   {"Q8_0", 8.5008},
                             {"F16", 16.0005},    {"Q3_K_M", 3.9960}, {"IQ3_M", 3.7628},  {"IQ3_S", 3.6606},
                             {"IQ3_XS", 3.4977},  {"IQ2_M", 2.9294},  {"IQ2_S", 2.7403},  {"IQ2_XS", 2.5882},
                             {"IQ2_XXS", 2.3824}, {"IQ1_M", 2.1460},  {"IQ1_S", 2.0042}};
  for (const auto& [recipe, bits] : table)
    EXPECT_NEAR(bits_per_weight(recipe, llama_8b()), bits, 0.00005) << recipe;
  EXPECT_NEAR(bits_per_weight("IQ4_XS", llama_8b(), nullptr, true), 4.4231, 0.00005);
  EXPECT_NEAR(bits_per_weight("IQ3_XXS", llama_8b(), nullptr, true), 3.2548, 0.00005);
}

TEST(Mixes, ImportanceIsRequiredWhereLlamaCppRequiresIt) {
  const auto needs = [](std::string_view recipe, std::string_view tensor, std::string_view encoding) {
    return requires_importance(recipe, tensor, *find_encoding(encoding));
  };
  for (const char* e : {"IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"}) {
    EXPECT_TRUE(needs("IQ3_XXS", "blk.0.attn_k.weight", e)) << e;
    EXPECT_FALSE(needs("IQ3_XXS", "token_embd.weight", e)) << e;
    EXPECT_FALSE(needs("IQ3_XXS", "output.weight", e)) << e;
  }
  EXPECT_FALSE(needs("IQ3_M", "blk.0.attn_k.weight", "IQ3_S"));
  EXPECT_TRUE(needs("Q2_K_S", "blk.0.attn_k.weight", "Q2_K"));
  EXPECT_FALSE(needs("Q2_K", "blk.0.attn_k.weight", "Q2_K"));
}

TEST(Mixes, BelowFourBitsLossesAreNamed) {
  const Encoding* low[] = {find_encoding("IQ2_S"), find_encoding("Q6_K")};
  const std::string warning = low_bit_warning("IQ2_M", low);
  EXPECT_TRUE(warning.starts_with("experimental: 1 of 2 matrices")) << warning;
  EXPECT_NE(warning.find("0.326"), std::string::npos) << warning;
  const Encoding* high[] = {find_encoding("Q4_K")};
  EXPECT_EQ(low_bit_warning("Q4_K_M", high), "");
}

TEST(Mixes, CountsOfLlama8b) {
  std::map<std::string_view, int> counts;
  bits_per_weight("Q4_K_M", llama_8b(), &counts);
  EXPECT_EQ(counts, (std::map<std::string_view, int>{{"Q4_K", 193}, {"Q6_K", 33}, {"F32", 66}}));
  counts.clear();
  bits_per_weight("Q3_K_M", llama_8b(), &counts);
  EXPECT_EQ(counts, (std::map<std::string_view, int>{
                        {"Q3_K", 129}, {"Q4_K", 92}, {"Q5_K", 4}, {"Q6_K", 1}, {"F32", 66}}));
  counts.clear();
  bits_per_weight("Q2_K", llama_8b(), &counts);
  EXPECT_EQ(counts, (std::map<std::string_view, int>{
                        {"Q2_K", 129}, {"Q3_K", 64}, {"Q4_K", 32}, {"Q6_K", 1}, {"F32", 66}}));
}

TEST(Mixes, TiedEmbeddingIsTheOutput) {
  const auto tensors = llama_8b(true);
  const auto choices = assign_encodings(named_recipe("Q4_K_M").value(), kLlama8b(), tensors, {});
  ASSERT_TRUE(choices.ok());
  EXPECT_EQ((*choices)[0].encoding->name, "Q6_K");
}

}  // namespace
}  // namespace carat
