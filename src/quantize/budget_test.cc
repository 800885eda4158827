// Budgets are kept to the byte and found again; what is predicted was measured, and on nothing else than what
// was asked for.
#include "quantize/budget.h"

#include <algorithm>
#include <atomic>

#include "arch/tensor_scales.h"
#include "arch/tiny_model.h"
#include "quantize/engine_testing.h"
#include "quantize/provenance.h"
#include "quantize/sensitivity.h"
#include "quantize/testing.h"
#include "recipes/sensitivities.h"
#include "stats/testing.h"

namespace carat {
namespace {

using namespace testing;

constexpr int64_t kContext = 24, kVocabulary = 96;

Checkpoint model(bool tied = false) {
  TinyShape shape{.layers = 3,
                  .width = 64,
                  .feed_forward = 256,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 16,
                  .vocabulary = kVocabulary};
  shape.tied = tied;
  Checkpoint c = tiny_model("llama", shape, 5);
  for (const Tensor& t : c.tensors) c.file_bytes += t.bytes();
  return c;
}

CalibrationText text(int64_t sequences = 20, uint64_t seed = 3) {
  return random_text(sequences, kContext, kVocabulary, seed);
}

BudgetOptions size_of(uint64_t bytes, const CalibrationText& with, std::string sensitivities = "") {
  return {{BudgetGoal::Kind::file_bytes, bytes, 0}, &with, std::move(sensitivities)};
}

uint64_t size_as(const Checkpoint& source, std::string_view recipe) {
  QuantizeOptions o = options_for(recipe);
  o.allow_fallback = true;
  return plan_quantize(source, o)->output_bytes;
}

std::string error_of(const auto& result, Code code = Code::usage) {
  EXPECT_FALSE(result.ok());
  if (result.ok()) return "";
  EXPECT_EQ(result.error().code, code) << result.error().message;
  return result.error().message;
}

TEST(Budget, IsKeptToTheByteAndFoundAgainFromItsRuleFile) {
  Folder folder;
  const Checkpoint source = model();
  const CalibrationText with = text();
  Runner runner;
  const uint64_t least = size_as(source, "Q4_0"), most = size_as(source, "Q8_0");
  const std::string kept = folder / "s";
  double before = INFINITY;
  for (const uint64_t bytes : {least + 1, least + (most - least) / 3 + 17, most}) {
    const std::string out = folder / "out.gguf";
    QuantizeOptions options;
    options.method = "nearest";  // which looks at no text, so that the recipe is all there is to know
    const auto made = quantize_to_budget(runner.context(), source, out, options, size_of(bytes, with, kept));
    ASSERT_TRUE(made.ok()) << made.error().message;
    const std::string file = contents(out);
    EXPECT_LE(file.size(), bytes);
    EXPECT_EQ(file.size(), made->report.output_bytes);
    // No step of a matrix is so small, but for the smallest ones.
    EXPECT_GT(file.size() + 2048, bytes);
    const BudgetRound& round = made->rounds[made->kept];
    EXPECT_LT(round.measured_kl.mean, before);
    before = round.measured_kl.mean;
    for (const BudgetRound& other : made->rounds) EXPECT_LE(round.measured_kl.mean, other.measured_kl.mean);
    EXPECT_NE(made->rule_file.find(fmt::format("measured {:.5f}", round.measured_kl.mean)),
              std::string::npos);

    QuantizeOptions again = options;
    auto recipe = parse_rule_file(made->rule_file, "found.toml");
    ASSERT_TRUE(recipe.ok()) << recipe.error().message;
    again.recipe = *std::move(recipe);
    const std::string second = folder / "again.gguf";
    const auto report = quantize(runner.context(), source, second, again);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(contents(second), file);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out.gguf.candidate"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.gguf.best"));
}

TEST(Budget, BitsPerWeightAreKept) {
  const Checkpoint source = model();
  const CalibrationText with = text();
  Runner runner;
  for (const double bits : {5.0, 6.25}) {
    const auto plan =
        plan_budget(runner.context(), source, {}, {{BudgetGoal::Kind::bits_per_weight, 0, bits}, &with, ""});
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    EXPECT_LE(plan->plan.bits_per_weight, bits);
    EXPECT_GT(plan->plan.bits_per_weight, bits - 0.02);
  }
}

TEST(Budget, SameBytesForAnyNumberOfThreads) {
  Folder folder;
  const Checkpoint source = model(true);
  const CalibrationText with = text();
  const uint64_t bytes = (size_as(source, "Q4_0") + size_as(source, "Q8_0")) / 2;
  std::string first[3];
  for (const int threads : {1, 3}) {
    Runner runner(threads);
    const std::string out = folder / fmt::format("{}.gguf", threads);
    QuantizeOptions options;
    options.method = "gptq";
    const auto made =
        quantize_to_budget(runner.context(), source, out, options, size_of(bytes, with, out + ".s"));
    ASSERT_TRUE(made.ok()) << made.error().message;
    const std::string now[3] = {contents(out), contents(out + ".s"), made->rule_file};
    for (int i = 0; i < 3; ++i) {
      if (threads == 1) first[i] = now[i];
      EXPECT_EQ(now[i], first[i]);
    }
  }
}

TEST(Budget, MeasuresOnceAndGoesOnWhereItStopped) {
  Folder folder;
  const Checkpoint source = model();
  const CalibrationText with = text();
  const uint64_t bytes = (size_as(source, "Q4_0") + size_as(source, "Q8_0")) / 2;
  Runner runner;
  QuantizeOptions options;
  options.method = "nearest";  // whose first progress is that of sensitivities
  const std::string kept = folder / "s";
  const auto whole = plan_budget(runner.context(), source, options, size_of(bytes, with, kept));
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_EQ(whole->measured_tensors, 3u * 7 + 2);
  const std::string figures = contents(kept);

  // Stopped after some tensors, and in the middle of a line.
  Runner stopped;
  stopped.on_update = [&](uint64_t done) {
    if (done > 30) stopped.cancellation.request();
  };
  std::filesystem::remove(kept);
  const auto none =
      quantize_to_budget(stopped.context(), source, folder / "o.gguf", options, size_of(bytes, with, kept));
  error_of(none, Code::interrupted);
  std::string some = contents(kept);
  ASSERT_GT(some.size(), 1000u);
  ASSERT_LT(some.size(), figures.size());
  EXPECT_EQ(figures.substr(0, some.size()), some);
  std::ofstream(kept, std::ios::app) << "{\"tensor\":\"blk.2";
  const auto rest = plan_budget(runner.context(), source, options, size_of(bytes, with, kept));
  ASSERT_TRUE(rest.ok()) << rest.error().message;
  EXPECT_GT(rest->known_tensors, 0u);
  EXPECT_EQ(rest->known_tensors + rest->measured_tensors, 3u * 7 + 2);
  EXPECT_EQ(contents(kept), figures);
  EXPECT_EQ(rest->rule_file, whole->rule_file);

  const auto other = plan_budget(runner.context(), source, options, size_of(bytes + 4000, with, kept));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->measured_tensors, 0u);
  const CalibrationText strange = text(20, 4);
  EXPECT_NE(
      error_of(plan_budget(runner.context(), source, options, size_of(bytes, strange, kept))).find("text"),
      std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "o.gguf.candidate"));
  EXPECT_FALSE(std::filesystem::exists(folder / "o.gguf.candidate.partial"));
}

/// Rows that say they are mapped, and count those that whoever copied them gave back, from whichever thread.
class MappedRows final : public TensorData {
 public:
  MappedRows(const Tensor& t, std::atomic<int64_t>& copied) : copied_(copied), bytes_(t.bytes()) {
    EXPECT_TRUE(t.data->read_bytes(0, t.rows(), bytes_.data()).ok());
  }
  Status read_bytes(int64_t, int64_t, uint8_t*) const override {
    return error(Code::internal, "what is mapped was copied");
  }
  Bytes mapped() const override { return bytes_; }
  void release(int64_t, int64_t count) const override { copied_ += count; }

 private:
  std::atomic<int64_t>& copied_;
  std::vector<uint8_t> bytes_;
};

/// Calls back when sensitivities begin.
struct AtSensitivities : Runner {
  void begin(std::string_view stage, std::string_view, uint64_t) override {
    if (stage == "sensitivities") then();
  }
  std::function<void()> then = [] {};
};

/// Factors that are powers of two make the same numbers multiplied in and beside.
TEST(Budget, MatricesWithFactorsBesideThemStayMapped) {
  Folder folder;
  std::atomic<int64_t> copied = 0;
  Checkpoint scaled = model();
  const std::vector<Tensor> before = scaled.tensors;
  for (Tensor& t : scaled.tensors)
    if (t.shape.size() == 2) t.data = std::make_shared<MappedRows>(t, copied);
  for (size_t i = 0; i < before.size(); ++i)
    if (before[i].shape.size() == 2 && before[i].name != "token_embd.weight")
      scaled.tensors.push_back(
          {scale_name(before[i].name), {1}, &encoding_f32(), float_data({i % 2 ? 0.5f : 2.0f}, 1)});
  ASSERT_TRUE(scaled.reindex().ok());
  const Checkpoint folded = *fold_scales(scaled);
  ASSERT_TRUE(source_fingerprint(folded).ok());
  const int64_t of_fingerprint = copied;

  const CalibrationText with = text();
  const uint64_t bytes = (size_as(folded, "Q4_0") + size_as(folded, "Q8_0")) / 2;
  QuantizeOptions options;
  options.method = "gptq";
  std::string files[2][2];
  std::vector<BudgetRound> rounds[2];
  for (const bool beside : {false, true}) {
    AtSensitivities runner;
    int64_t at_begin = -1;
    copied = 0;
    runner.then = [&] { at_begin = copied; };
    const std::string out = folder / fmt::format("{}.gguf", beside);
    const auto made = quantize_to_budget(runner.context(), beside ? scaled : folded, out, options,
                                         size_of(bytes, with, out + ".s"));
    ASSERT_TRUE(made.ok()) << made.error().message;
    if (beside) {
      EXPECT_EQ(at_begin, of_fingerprint) << "of the matrices that are run";
    }
    files[beside][0] = contents(out);
    files[beside][1] = contents(out + ".s");
    rounds[beside] = made->rounds;
  }
  EXPECT_EQ(files[0][0], files[1][0]);
  EXPECT_EQ(files[0][1], files[1][1]);
  ASSERT_EQ(rounds[0].size(), rounds[1].size());
  for (size_t i = 0; i < rounds[0].size(); ++i)
    EXPECT_EQ(rounds[0][i].measured_kl.mean, rounds[1][i].measured_kl.mean);
}

TEST(Budget, RulesOfTheUserStayInForce) {
  const Checkpoint source = model();
  const CalibrationText with = text();
  Runner runner;
  QuantizeOptions options;
  options.recipe.rules = {*parse_tensor_rule("output.weight=Q8_0"), *parse_tensor_rule("attn_v=F32")};
  const uint64_t bytes = (size_as(source, "Q4_0") + size_as(source, "Q8_0")) / 2;
  const auto plan = plan_budget(runner.context(), source, options, size_of(bytes, with));
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_LE(plan->plan.output_bytes, bytes);
  for (const TensorPlan& t : plan->plan.tensors) {
    if (t.name == "output.weight") {
      EXPECT_EQ(t.to->name, "Q8_0");
    }
    if (t.name.find("attn_v") != std::string::npos) {
      EXPECT_EQ(t.to->name, "F32");
    }
  }
  const auto least = error_of(plan_budget(runner.context(), source, options, size_of(1000, with)));
  EXPECT_NE(least.find("with the --tensor rules given"), std::string::npos) << least;
}

/// Also where the allocator would never choose the encoding, and the file of sensitivities does not know it.
TEST(Budget, WhatRulesAskForIsMeasured) {
  Folder folder;
  const Checkpoint source = model();
  const CalibrationText with = text();
  Runner runner;
  const uint64_t bytes = (size_as(source, "Q4_0") + size_as(source, "Q8_0")) / 2;
  BudgetOptions budget = size_of(bytes, with);
  budget.sensitivities = folder / "s";
  const auto predicted = [&](const char* rule) {
    QuantizeOptions options;
    options.recipe.rules = {*parse_tensor_rule("output.weight=Q8_0"), *parse_tensor_rule(rule)};
    const auto plan = plan_budget(runner.context(), source, options, budget);
    EXPECT_TRUE(plan.ok()) << plan.error().message;
    return plan.ok() ? plan->predicted_kl : 0.0;
  };
  const double fine = predicted("ffn_down=INT8_G32");
  const double coarse = predicted("ffn_down=INT2_G32");
  EXPECT_GT(coarse, 2 * fine);
  EXPECT_EQ(predicted("ffn_down=INT2_G32"), coarse) << "from the file";
  // Scales that rows share.
  EXPECT_GT(predicted("ffn_down=INT4_TENSOR"), 1.2 * predicted("ffn_down=INT8_TENSOR"));
}

TEST(Budget, TheSmallestFileOfADivergence) {
  Folder folder;
  const Checkpoint source = model();
  const CalibrationText with = text(40);
  Runner runner;
  uint64_t before = 0;
  for (const double limit : {0.05, 0.005}) {
    const BudgetOptions budget{{BudgetGoal::Kind::divergence, 0, limit}, &with, folder / "s"};
    const auto made = quantize_to_budget(runner.context(), source, folder / "o.gguf", {}, budget);
    ASSERT_TRUE(made.ok()) << made.error().message;
    const BudgetRound& kept = made->rounds[made->kept];
    EXPECT_LE(kept.measured_kl.mean, limit);
    EXPECT_GT(kept.measured_kl.mean, 0.5 * limit);
    EXPECT_GT(kept.bytes, before);
    before = kept.bytes;
    for (const BudgetRound& r : made->rounds)
      EXPECT_TRUE(r.measured_kl.mean > limit || r.bytes >= kept.bytes);
  }
  QuantizeOptions coarse;
  coarse.recipe.rules = {*parse_tensor_rule("blk=Q4_0")};
  const BudgetOptions budget{{BudgetGoal::Kind::divergence, 0, 1e-5}, &with, ""};
  const auto never = quantize_to_budget(runner.context(), source, folder / "never.gguf", coarse, budget);
  const std::string message = error_of(never);
  EXPECT_NE(message.find("cannot be reached"), std::string::npos) << message;
  EXPECT_FALSE(std::filesystem::exists(folder / "never.gguf"));
  EXPECT_FALSE(std::filesystem::exists(folder / "never.gguf.best"));
}

TEST(Budget, MistakesAreSaidBeforeAnythingIsMeasured) {
  const Checkpoint source = model();
  const CalibrationText with = text(), little = text(2);
  Runner runner;
  runner.on_update = [](uint64_t) { ADD_FAILURE() << "something was measured"; };
  const auto planned = [&](BudgetOptions budget, QuantizeOptions options = {}) {
    return error_of(plan_budget(runner.context(), source, options, budget));
  };
  const std::string small = planned(size_of(1000, with));
  EXPECT_NE(small.find("the smallest file that tiny can become has "), std::string::npos) << small;
  EXPECT_NE(planned(size_of(1u << 30, with)).find("nothing to save"), std::string::npos);
  EXPECT_NE(planned({{BudgetGoal::Kind::bits_per_weight, 0, 1}, &with, ""}).find("too few"),
            std::string::npos);
  EXPECT_NE(planned({{BudgetGoal::Kind::bits_per_weight, 0, 33}, &with, ""}).find("nothing to save"),
            std::string::npos);
  EXPECT_NE(planned(size_of(100000, little)).find("at least 3"), std::string::npos);
  BudgetOptions without = size_of(100000, with);
  without.text = nullptr;
  EXPECT_NE(planned(without).find("--text"), std::string::npos);
  QuantizeOptions wrong;
  wrong.recipe.rules = {*parse_tensor_rule("no_such=Q8_0")};
  EXPECT_NE(planned(size_of(100000, with), wrong).find("matches no tensor"), std::string::npos);
}

TEST(Sensitivity, IsTheDivergenceOfTheModelWithThatOneTensorRounded) {
  Folder folder;
  for (const bool tied : {false, true}) {
    const Checkpoint source = model(tied);
    const CalibrationText probing = text(4);
    Runner runner;
    for (const char* name :
         {"token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight", "blk.2.attn_v.weight"}) {
      const auto at = std::ranges::find(source.tensors, name, &Tensor::name);
      const SensitivityTask task{static_cast<size_t>(at - source.tensors.begin()), find_rounder("search"),
                                 candidate_encodings(*at, *find_rounder("search"))};
      TensorSensitivity measured;
      SensitivityOptions how;
      how.probing = &probing;
      const Status done =
          measure_sensitivities(runner.context(), source, {&task, 1}, how, [&](TensorSensitivity t) {
            measured = std::move(t);
            return Status();
          });
      ASSERT_TRUE(done.ok()) << done.error().message;
      QuantizeOptions one;
      one.recipe = named_recipe("F32").value();
      one.recipe.rules = {*parse_tensor_rule(fmt::format("^{}$={}", name, measured.probe->name))};
      const std::string out = folder / "one.gguf";
      const auto report = quantize(runner.context(), source, out, one);
      ASSERT_TRUE(report.ok()) << report.error().message;
      const double expected = divergence_by_engines(source, read_gguf(out).value(), probing);
      EXPECT_GT(measured.kl, 1e-5) << name;
      EXPECT_NEAR(measured.kl, expected, 1e-6 + 1e-4 * expected) << name;
    }
  }
}

}  // namespace
}  // namespace carat
