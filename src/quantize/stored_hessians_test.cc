#include "quantize/stored_hessians.h"

#include <algorithm>

#include "quantize/mixture_testing.h"
#include "stats/calibrate.h"

namespace carat {
namespace {

using namespace testing;

Checkpoint model() {
  return tiny_model("llama",
                    TinyShape{.layers = 2,
                              .width = 64,
                              .feed_forward = 128,
                              .heads = 4,
                              .kv_heads = 2,
                              .head_dim = 16,
                              .vocabulary = 96},
                    5);
}

CalibrationText text() {
  CalibrationText out = random_text(12, 24, 96, 3);
  out.digest = std::string(64, 'a');
  return out;
}

HessianFile hessians_of(const Checkpoint& checkpoint, const CalibrationText& with, const std::string& path) {
  Runner runner;
  const auto config = read_model_config(checkpoint);
  const auto origin = calibration_origin(checkpoint, with, ActivationScheme::bfloat16);
  auto writer = HessianWriter::create(path, *config, *origin, {});
  EXPECT_TRUE(writer.ok()) << writer.error().message;
  CalibrateOptions options;
  options.hessians = writer->get();
  const auto calibration = calibrate(runner.context(), checkpoint, with, options);
  EXPECT_TRUE(calibration.ok()) << calibration.error().message;
  auto file = HessianFile::open(path, checkpoint);
  EXPECT_TRUE(file.ok()) << file.error().message;
  return *std::move(file);
}

Checkpoint quantized(const std::string& path, const Checkpoint& source, const QuantizeOptions& options) {
  Runner runner;
  const auto report = quantize(runner.context(), source, path, options);
  EXPECT_TRUE(report.ok()) << report.error().message;
  auto written = read_gguf(path);
  EXPECT_TRUE(written.ok()) << written.error().message;
  return *std::move(written);
}

TEST(StoredHessians, before_anything_is_rounded_a_walk_has_the_same) {
  Folder folder;
  const Checkpoint source = model();
  const CalibrationText with = text();
  const HessianFile hessians = hessians_of(source, with, folder / "h.gguf");
  QuantizeOptions options = options_for("F32");
  for (const char* rule : {"blk.0.attn_[qkv].weight=Q4_0", "blk.0.attn_output.weight=Q4_0"}) {
    options.recipe.rules = {parse_tensor_rule(rule).value()};
    options.method = "gptq";
    options.text = &with;
    const Checkpoint walked = quantized(folder / "walked.gguf", source, options);
    options.text = nullptr;
    options.hessians = &hessians;
    const Checkpoint stored = quantized(folder / "stored.gguf", source, options);
    options.hessians = nullptr;
    int compared = 0;
    for (const Tensor& t : stored.tensors) {
      EXPECT_EQ(t.data->mapped().size(), walked.find(t.name)->data->mapped().size());
      EXPECT_TRUE(std::ranges::equal(t.data->mapped(), walked.find(t.name)->data->mapped())) << t.name;
      compared += t.encoding->name == "Q4_0";
    }
    EXPECT_GT(compared, 0);
  }
}

TEST(StoredHessians, serve_every_matrix_and_are_on_record) {
  Folder folder;
  Runner runner;
  const Checkpoint source = model();
  const CalibrationText with = text();
  const HessianFile hessians = hessians_of(source, with, folder / "h.gguf");
  QuantizeOptions options = options_for("Q4_0");
  options.method = "gptq";
  options.allow_fallback = true;
  options.hessians = &hessians;
  const auto report = quantize(runner.context(), source, folder / "out.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  int guided = 0;
  for (const TensorReport& t : report->tensors) {
    const bool matrix = t.shape.size() == 2 && t.name != "token_embd.weight";
    EXPECT_EQ(t.guide.tokens, matrix ? with.tokens() : 0) << t.name;
    EXPECT_EQ(t.method == "gptq", matrix) << t.name;
    if (!matrix) continue;
    ++guided;
    EXPECT_GT(t.guide.relative_loss, 0) << t.name;
    EXPECT_LT(t.guide.relative_loss, 0.02) << t.name;
  }
  EXPECT_EQ(guided, 15);
  const auto written = read_gguf(folder / "out.gguf");
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(*written->metadata.string_at("carat.calibration.digest").value(), with.digest);
  EXPECT_EQ(*written->metadata.string_at("carat.calibration.hessians").value(), "h.gguf");
  EXPECT_EQ(written->metadata.unsigned_or("carat.calibration.tokens", 0).value(),
            static_cast<uint64_t>(with.tokens()));
}

TEST(StoredHessians, ExpertsAndHeadsHaveTheirOwn) {
  Folder folder;
  Runner runner;
  const CalibrationText with = mixture_text(3, 12);
  for (const Mixture& m : mixtures()) {
    SCOPED_TRACE(m.name);
    const HessianFile hessians = hessians_of(m.checkpoint, with, folder / "h.gguf");
    QuantizeOptions options = options_for("F32");
    options.method = "gptq";
    // Before anything else is rounded, a walk has the same.
    for (const char* name : {"blk.1.ffn_gate_exps", "blk.1.ffn_up_exps", "blk.1.ffn_down_exps",
                             "blk.1.attn_q_b", "blk.1.attn_k_b", "blk.1.attn_v_b"}) {
      const std::string tensor = fmt::format("{}.weight", name);
      if (!m.checkpoint.find(tensor)) continue;
      options.recipe.rules = {parse_tensor_rule(fmt::format("^{}=Q4_0", tensor)).value()};
      options.text = &with;
      const Checkpoint walked = quantized(folder / "walked.gguf", m.checkpoint, options);
      options.text = nullptr;
      options.hessians = &hessians;
      const Checkpoint stored = quantized(folder / "stored.gguf", m.checkpoint, options);
      options.hessians = nullptr;
      EXPECT_EQ(stored.find(tensor)->encoding->name, "Q4_0");
      EXPECT_TRUE(
          std::ranges::equal(stored.find(tensor)->data->mapped(), walked.find(tensor)->data->mapped()))
          << tensor;
    }
    options = options_for("Q4_0");
    options.recipe.rules = {*parse_tensor_rule("^output=Q8_0")};
    options.method = "gptq";
    options.hessians = &hessians;
    const auto report = quantize(runner.context(), m.checkpoint, folder / "out.gguf", options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    for (const TensorReport& t : report->tensors)
      if (t.shape.size() == 3) {
        EXPECT_EQ(t.method, "gptq") << t.name;
        EXPECT_GT(t.guide.least_tokens, 0) << t.name;
        EXPECT_LT(t.guide.relative_loss, 0.02) << t.name;
      }
  }
}

TEST(StoredHessians, AnExpertThatSawNothingTakesLeave) {
  Folder folder;
  Runner runner;
  const CalibrationText with = mixture_text();
  const Checkpoint source = with_an_idle_expert();
  const HessianFile hessians = hessians_of(source, with, folder / "h.gguf");
  QuantizeOptions options = options_for("Q4_0");
  options.recipe.rules = {*parse_tensor_rule("^output=Q8_0")};
  options.method = "gptq";
  options.hessians = &hessians;
  const auto refused = quantize(runner.context(), source, folder / "out.gguf", options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::usage);
  for (const char* part : {"blk.1.ffn_gate_exps.weight", "expert 3", "--allow-fallback"})
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
  options.allow_fallback = true;
  options.discard_partial = true;
  const auto report = quantize(runner.context(), source, folder / "out.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(
      std::ranges::count_if(
          report->notes, [](const std::string& n) { return n.find("1 of 4 experts") != std::string::npos; }),
      3);
}

TEST(StoredHessians, are_refused_where_they_do_not_apply) {
  Folder folder;
  Runner runner;
  const Checkpoint source = model();
  const CalibrationText with = text();
  const HessianFile hessians = hessians_of(source, with, folder / "h.gguf");
  const auto message = [&](const char* method, const CalibrationText* text) {
    QuantizeOptions options = options_for("Q4_0");
    options.allow_fallback = true;
    options.method = method;
    options.hessians = &hessians;
    options.text = text;
    const auto refused = quantize(runner.context(), source, folder / "out.gguf", options);
    EXPECT_FALSE(refused.ok()) << method;
    return refused.ok() ? std::string() : refused.error().message;
  };
  EXPECT_NE(message("search", nullptr).find("makes no use of Hessians"), std::string::npos);
  EXPECT_NE(message("gptq", &with).find("leave out one"), std::string::npos);
  EXPECT_NE(message("awq+gptq", nullptr).find("before 'awq'"), std::string::npos);
}

}  // namespace
}  // namespace carat
