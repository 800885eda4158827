// Budgets for mixtures of experts and for latent attention: a stacked tensor is one tensor, and what is
// predicted of it was measured.
#include <algorithm>
#include <map>

#include "quantize/budget.h"
#include "quantize/engine_testing.h"
#include "quantize/mixture_testing.h"
#include "quantize/sensitivity.h"

namespace carat {
namespace {

using namespace testing;

/// With the size of its file.
Checkpoint model(const std::string& architecture, bool absorbed = false) {
  Checkpoint c = mixture_model(architecture, absorbed);
  for (const Tensor& t : c.tensors) c.file_bytes += t.bytes();
  return c;
}

CalibrationText text(int64_t sequences, uint64_t seed = 3) { return mixture_text(seed, sequences); }

Result<std::vector<TensorSensitivity>> measured(const Checkpoint& source, std::string_view method,
                                                const std::vector<std::string>& names,
                                                const SensitivityOptions& how) {
  Runner runner;
  std::vector<SensitivityTask> tasks;
  for (const std::string& name : names) {
    const auto at = std::ranges::find(source.tensors, name, &Tensor::name);
    EXPECT_NE(at, source.tensors.end()) << name;
    tasks.push_back({static_cast<size_t>(at - source.tensors.begin()), find_rounder(method),
                     candidate_encodings(*at, *find_rounder(method))});
  }
  std::vector<TensorSensitivity> out;
  CARAT_DO(measure_sensitivities(runner.context(), source, tasks, how, [&](TensorSensitivity t) {
    out.push_back(std::move(t));
    return Status();
  }));
  return out;
}

TEST(MixtureSensitivity, IsTheDivergenceOfTheModelWithThatOneTensorRounded) {
  Folder folder;
  Runner runner;
  struct Case {
    const char* architecture;
    bool absorbed;
    std::vector<std::string> names;
  };
  const CalibrationText probing = text(4);
  for (const Case& c : {Case{"qwen2moe",
                             false,
                             {"blk.0.ffn_gate_exps.weight", "blk.1.ffn_down_exps.weight",
                              "blk.0.ffn_up_shexp.weight", "blk.1.ffn_down_shexp.weight"}},
                        Case{"gpt-oss", false, {"blk.0.attn_output.weight", "blk.1.ffn_up_exps.weight"}},
                        Case{"deepseek2",
                             false,
                             {"blk.0.attn_q_a.weight", "blk.1.attn_q_b.weight", "blk.0.ffn_down.weight",
                              "blk.1.attn_kv_a_mqa.weight", "blk.1.attn_kv_b.weight"}},
                        Case{"deepseek2", true, {"blk.0.attn_k_b.weight", "blk.1.attn_v_b.weight"}}}) {
    const Checkpoint source = model(c.architecture, c.absorbed);
    SensitivityOptions how;
    how.probing = &probing;
    const auto all = measured(source, "search", c.names, how);
    ASSERT_TRUE(all.ok()) << all.error().message;
    ASSERT_EQ(all->size(), c.names.size());
    for (const TensorSensitivity& t : *all) {
      QuantizeOptions one;
      one.recipe = named_recipe("F32").value();
      one.recipe.rules = {*parse_tensor_rule(fmt::format("^{}$={}", t.tensor, t.probe->name))};
      const std::string out = folder / "one.gguf";
      const auto report = quantize(runner.context(), source, out, one);
      ASSERT_TRUE(report.ok()) << report.error().message;
      const double expected = divergence_by_engines(source, read_gguf(out).value(), probing);
      EXPECT_GT(t.kl, 1e-5) << t.tensor;
      EXPECT_NEAR(t.kl, expected, 1e-6 + 1e-4 * expected) << t.tensor;
      // More bits err less, so that errors are of the outputs and of the right rows.
      const auto error_of = [&](const char* name) {
        return std::ranges::find(t.errors, name, [](const EncodingError& e) { return e.encoding->name; })
            ->error;
      };
      EXPECT_GT(error_of("Q8_0"), 0) << t.tensor;
      EXPECT_LT(error_of("Q8_0"), 0.05 * error_of("Q4_0")) << t.tensor;
    }
  }
}

TEST(MixtureSensitivity, FeedbackTakesEachExpertsOwnHessian) {
  const Checkpoint source = model("qwen2moe");
  const CalibrationText probing = text(8), rounding = text(48, 4);
  const std::vector<std::string> names = {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight",
                                          "blk.0.ffn_down_exps.weight", "blk.1.ffn_gate_exps.weight",
                                          "blk.1.ffn_up_exps.weight",   "blk.1.ffn_down_exps.weight"};
  SensitivityOptions how;
  how.probing = &probing;
  const auto plain = measured(source, "nearest", names, how);
  how.rounding = &rounding;
  const auto fed = measured(source, "gptq", names, how);
  ASSERT_TRUE(plain.ok() && fed.ok()) << fed.error().message;
  const auto error_of = [](const TensorSensitivity& t) {
    return std::ranges::find(t.errors, "Q4_0", [](const EncodingError& e) { return e.encoding->name; })
        ->error;
  };
  for (size_t i = 0; i < names.size(); ++i) EXPECT_LT(error_of((*fed)[i]), 0.9 * error_of((*plain)[i]));
}

TEST(MixtureBudget, IsKeptToTheByteForAnyNumberOfThreads) {
  Folder folder;
  const CalibrationText with = text(24);
  for (const bool latent : {false, true}) {
    const Checkpoint source = latent ? model("deepseek2", true) : model("qwen3moe");
    const auto size_as = [&](std::string_view recipe) {
      QuantizeOptions o = options_for(recipe);
      o.allow_fallback = true;
      return plan_quantize(source, o)->output_bytes;
    };
    const uint64_t bytes = (size_as("Q4_0") + size_as("Q8_0")) / 2;
    std::string first[3];
    for (const int threads : {1, 3}) {
      Runner runner(threads);
      const std::string out = folder / fmt::format("{}.gguf", threads);
      QuantizeOptions options;
      options.method = "gptq";
      const auto made = quantize_to_budget(runner.context(), source, out, options,
                                           {{BudgetGoal::Kind::file_bytes, bytes, 0}, &with, out + ".s"});
      ASSERT_TRUE(made.ok()) << made.error().message;
      const std::string now[3] = {contents(out), contents(out + ".s"), made->rule_file};
      EXPECT_LE(now[0].size(), bytes);
      EXPECT_GT(now[0].size() + 8192, bytes);
      for (int i = 0; i < 3; ++i) {
        if (threads == 1) first[i] = now[i];
        EXPECT_EQ(now[i], first[i]);
      }
      for (const TensorReport& t : made->report.tensors)
        if (t.name.find("_exps.weight") != std::string::npos) {
          EXPECT_NE(now[1].find(t.name), std::string::npos);
          EXPECT_TRUE(t.method == "gptq" || t.to->is_float) << t.name;
        }
      std::filesystem::remove(out + ".s");
    }
  }
}

/// How often a stage was begun.
struct Stages : Runner {
  void begin(std::string_view stage, std::string_view, uint64_t) override { ++begun[std::string(stage)]; }
  std::map<std::string, int> begun;
};

TEST(MixtureBudget, WhatCannotBeMadeIsTriedOnceAlsoByAResume) {
  Folder folder;
  Stages runner;
  Checkpoint source = with_an_idle_expert();
  for (const Tensor& t : source.tensors) source.file_bytes += t.bytes();
  const CalibrationText with = text(24);
  QuantizeOptions options;
  options.method = "gptq";
  options.resume = true;
  const auto made = quantize_to_budget(runner.context(), source, folder / "o.gguf", options,
                                       {{BudgetGoal::Kind::bits_per_weight, 0, 6}, &with, folder / "s"});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Code::usage);
  EXPECT_NE(made.error().message.find("calibration tokens goes to expert"), std::string::npos)
      << made.error().message;
  EXPECT_EQ(runner.begun["quantize"], 1);
}

TEST(MixtureBudget, TheSmallestFileOfADivergence) {
  Folder folder;
  Runner runner;
  const Checkpoint source = model("qwen3moe");
  const CalibrationText with = text(40);
  const auto made = quantize_to_budget(runner.context(), source, folder / "o.gguf", {},
                                       {{BudgetGoal::Kind::divergence, 0, 0.05}, &with, folder / "s"});
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_LE(made->rounds[made->kept].measured_kl.mean, 0.05);
  EXPECT_LT(contents(folder / "o.gguf").size(), source.file_bytes / 3);
}

}  // namespace
}  // namespace carat
