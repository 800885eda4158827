// Error feedback in mixtures of experts and with latent attention: each expert's matrix is rounded as it
// would be alone, with the Hessian of its own tokens, and the promises of the walk hold.
#include <algorithm>
#include <map>

#include "quantize/block_walker.h"
#include "quantize/expert_feedback.h"
#include "quantize/mixture_testing.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

using namespace testing;

QuantizeOptions guided(const CalibrationText& with, std::string_view recipe = "Q4_0") {
  QuantizeOptions o = options_for(recipe);
  o.recipe.rules = {*parse_tensor_rule("^output=Q8_0")};
  o.method = "gptq";
  o.text = &with;
  return o;
}

/// Mean KL of all predictions but the first few of each sequence.
double divergence_of(const Checkpoint& source, const Checkpoint& candidate, const CalibrationText& with) {
  Runner runner;
  std::vector<float> states[2];
  std::vector<Weights> weights;
  const ScoredPositions positions{4, kMixtureContext};
  for (const Checkpoint* c : {&source, &candidate}) {
    weights.push_back(load_weights(runner.context(), *c).value());
    const Sequences sequences(weights.back().config, with);
    const Model m{weights.back(), **default_kernel_table(), ActivationScheme::float32};
    const auto x = states_after(*c, with, weights.back().config.layers, ActivationScheme::float32);
    states[weights.size() - 1] = scored_states(runner.context(), m, sequences, positions, x.data());
  }
  const Model a{weights[0], **default_kernel_table(), ActivationScheme::float32};
  const Model b{weights[1], **default_kernel_table(), ActivationScheme::float32};
  const auto kl = divergences(runner.context(), a, states[0].data(), b, states[1].data(),
                              static_cast<int64_t>(states[0].size()) / weights[0].config.width);
  EXPECT_TRUE(kl.ok());
  double sum = 0;
  for (const double k : *kl) sum += k;
  return sum / static_cast<double>(kl->size());
}

/// What single experts and heads of a layer read.
struct MatrixTap final : InputTap {
  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    if (!per_expert(place.input) && !per_head(place.input)) return;
    auto& rows = read[{place.input, place.matrix}];
    rows.insert(rows.end(), x, x + tokens * columns);
  }
  std::map<std::pair<LinearInput, int64_t>, std::vector<float>> read;
};

std::vector<uint8_t> stored(const Checkpoint& c, const std::string& name) {
  const Tensor& t = *c.find(name);
  std::vector<uint8_t> bytes(t.bytes());
  EXPECT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
  return bytes;
}

Checkpoint quantized(const std::string& path, const Checkpoint& source, const QuantizeOptions& options) {
  Runner runner;
  const auto report = quantize(runner.context(), source, path, options);
  EXPECT_TRUE(report.ok()) << report.error().message;
  return read_gguf(path).value();
}

/// `source` with the tensors before `name`, in walking order, as `written` has them.
Checkpoint rounded_up_to(const Checkpoint& source, const Checkpoint& written, const std::string& name) {
  Checkpoint out = in_walking_order(source).value();
  for (Tensor& t : out.tensors) {
    if (t.name == name) break;
    t = *written.find(t.name);
  }
  EXPECT_TRUE(out.reindex().ok());
  return out;
}

TEST(MixtureWalk, EachMatrixOfAStackIsRoundedAsAloneWithItsOwnHessian) {
  Folder folder;
  Runner runner;
  const CalibrationText with = mixture_text();
  const KernelTable& kernels = **default_kernel_table();
  for (const Mixture& v : mixtures()) {
    SCOPED_TRACE(v.name);
    const QuantizeOptions options = guided(with);
    const Checkpoint written = quantized(folder / "out.gguf", v.checkpoint, options);
    QuantizeOptions plainly = options;
    plainly.method = "nearest";
    plainly.text = nullptr;
    const Checkpoint nearest = quantized(folder / "nearest.gguf", v.checkpoint, plainly);
    for (const auto& [part, input] : {std::pair{"ffn_gate_exps", LinearInput::experts},
                                      {"ffn_up_exps", LinearInput::experts},
                                      {"ffn_down_exps", LinearInput::experts_down},
                                      {"attn_k_b", LinearInput::key_heads},
                                      {"attn_v_b", LinearInput::value_heads}}) {
      const std::string name = fmt::format("blk.1.{}.weight", part);
      if (!v.checkpoint.find(name)) continue;
      MatrixTap tap;
      states_after(rounded_up_to(v.checkpoint, written, name), with, 2, options.activations, &tap);
      const Tensor& source = *v.checkpoint.find(name);
      const Tensor& result = *written.find(name);
      const std::vector<float> weights = *source.read_all(), rounded = *result.read_all(),
                               coarse = *nearest.find(name)->read_all();
      const std::vector<uint8_t> bytes = stored(written, name);
      const int64_t columns = source.columns(), rows = source.shape[1], size = rows * columns;
      for (int64_t e = 0; e < source.shape[0]; ++e) {
        const std::vector<float> h = hessian_of(tap.read.at({input, e}), columns);
        FeedbackOptions how;
        if (per_expert(input))
          how.shrink = std::max(how.shrink, noise_share(runner.pool, h, columns,
                                                        std::ssize(tap.read.at({input, e})) / columns));
        const auto factor = prepare_feedback(runner.context(), kernels, h, columns, how);
        ASSERT_TRUE(factor.ok()) << factor.error().message;
        std::vector<uint8_t> alone(bytes.size() / static_cast<size_t>(source.shape[0]));
        const auto error = find_rounder("gptq")->round(
            runner.context(), kernels, *result.encoding,
            {&encoding_f32(), reinterpret_cast<const uint8_t*>(weights.data() + e * size), rows, columns},
            {.feedback = &*factor}, alone.data());
        ASSERT_TRUE(error.ok()) << error.error().message;
        EXPECT_TRUE(
            std::equal(alone.begin(), alone.end(), bytes.begin() + e * static_cast<int64_t>(alone.size())))
            << name << ", matrix " << e;
        const auto loss = [&](const std::vector<float>& of) {
          const auto at = static_cast<size_t>(e * size), n = static_cast<size_t>(size);
          return feedback_loss(runner.context(), kernels, h, columns, std::span(weights).subspan(at, n),
                               std::span(of).subspan(at, n))
              .value();
        };
        EXPECT_LT(loss(rounded), 0.9 * loss(coarse)) << name << ", matrix " << e;
      }
    }
  }
}

TEST(MixtureWalk, AnswersAreNearerThanAfterRoundingThatKnowsNoInputs) {
  Folder folder;
  const CalibrationText with = mixture_text(3, 48), other = mixture_text(99);
  double sum_guided = 0, sum_nearest = 0;
  for (const Mixture& v : mixtures()) {
    SCOPED_TRACE(v.name);
    QuantizeOptions options = guided(with, "Q5_0");
    const Checkpoint walked = quantized(folder / "gptq.gguf", v.checkpoint, options);
    options.method = "nearest";
    options.text = nullptr;
    const Checkpoint nearest = quantized(folder / "nearest.gguf", v.checkpoint, options);
    const double by_feedback = divergence_of(v.checkpoint, walked, other),
                 by_nearest = divergence_of(v.checkpoint, nearest, other);
    EXPECT_LT(by_feedback, by_nearest);
    sum_guided += by_feedback;
    sum_nearest += by_nearest;
    RecordProperty(v.name, fmt::format("{:.4f} of {:.4f}", by_feedback, by_nearest));
  }
  EXPECT_LT(sum_guided, 0.92 * sum_nearest);
}

TEST(MixtureWalk, TheReportSaysHowManyTokensExpertsSaw) {
  Folder folder;
  Runner runner;
  const CalibrationText with = mixture_text();
  for (const Mixture& v : mixtures()) {
    SCOPED_TRACE(v.name);
    const auto report = quantize(runner.context(), v.checkpoint, folder / "out.gguf", guided(with));
    ASSERT_TRUE(report.ok()) << report.error().message;
    for (const TensorReport& t : report->tensors) {
      const bool experts = t.name.find("_exps.weight") != std::string::npos;
      if (t.shape.size() == 3) {
        EXPECT_EQ(t.method, "gptq") << t.name;
      }
      if (t.method != "gptq") continue;
      EXPECT_EQ(t.guide.unseen, 0) << t.name;
      EXPECT_DOUBLE_EQ(t.guide.damping, 0.05) << t.name;
      EXPECT_GT(t.guide.relative_loss, 0) << t.name;
      EXPECT_LT(t.guide.relative_loss, 0.02) << t.name;
      if (experts) {
        EXPECT_GT(t.guide.least_tokens, 0) << t.name;
        EXPECT_LT(t.guide.least_tokens, t.guide.tokens) << t.name;
        EXPECT_LE(t.guide.tokens, with.tokens()) << t.name;
        // Two experts for each token.
        EXPECT_LE(t.guide.least_tokens, with.tokens() * 2 / kMixtureExperts) << t.name;
        EXPECT_GE(t.guide.tokens, with.tokens() * 2 / kMixtureExperts) << t.name;
      } else {
        EXPECT_EQ(t.guide.least_tokens, with.tokens()) << t.name;
      }
    }
  }
}

TEST(MixtureWalk, TheNumberOfThreadsAndTheSlabsDoNotMatter) {
  Folder folder;
  const CalibrationText with = mixture_text();
  for (const Mixture& v : mixtures()) {
    std::string expected;
    for (const int threads : {1, 3}) {
      Runner runner(threads);
      QuantizeOptions options = guided(with);
      options.feedback.order = ColumnOrder::grouped;
      options.recipe.rules.push_back(*parse_tensor_rule("ffn_up_exps=Q5_0"));
      options.slab_weights = threads == 1 ? 1 : 4u << 20;
      ASSERT_TRUE(quantize(runner.context(), v.checkpoint, folder / "out.gguf", options).ok());
      const std::string bytes = contents(folder / "out.gguf");
      if (expected.empty()) expected = bytes;
      EXPECT_TRUE(bytes == expected) << v.name;
    }
  }
}

TEST(MixtureWalk, AResumeEndsInTheSameBytes) {
  Folder folder;
  const CalibrationText with = mixture_text();
  for (const Mixture& v : mixtures()) {
    SCOPED_TRACE(v.name);
    Runner whole;
    QuantizeOptions options = guided(with);
    int updates = 0;
    whole.on_update = [&](uint64_t) { ++updates; };
    ASSERT_TRUE(quantize(whole.context(), v.checkpoint, folder / "whole.gguf", options).ok());
    const std::string out = folder / "out.gguf";
    for (int stop_after = 2; stop_after < updates; stop_after += 5) {
      Runner first;
      int done = 0;
      first.on_update = [&](uint64_t) {
        if (++done == stop_after) first.cancellation.request();
      };
      options.resume = false;
      ASSERT_FALSE(quantize(first.context(), v.checkpoint, out, options).ok()) << stop_after;
      options.resume = true;
      Runner second;
      const auto resumed = quantize(second.context(), v.checkpoint, out, options);
      ASSERT_TRUE(resumed.ok()) << resumed.error().message;
      EXPECT_TRUE(contents(out) == contents(folder / "whole.gguf")) << stop_after;
      std::filesystem::remove(out);
    }
  }
}

TEST(MixtureWalk, AnExpertThatSawNothingIsAnErrorUnlessItMayBeRoundedAsWithoutText) {
  Folder folder;
  Runner runner;
  const CalibrationText with = mixture_text();
  const Checkpoint source = with_an_idle_expert();
  const std::string out = folder / "out.gguf";
  QuantizeOptions options = guided(with);
  const auto refused = quantize(runner.context(), source, out, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::usage);
  for (const char* part : {"blk.1.ffn_gate_exps.weight", "expert 3", "--allow-fallback"})
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;

  // What was done so far serves once leave is given.
  options.allow_fallback = true;
  options.resume = true;
  const auto resumed = quantize(runner.context(), source, out, options);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  EXPECT_GT(resumed->resumed_tensors, 10u);
  options.resume = false;
  const auto report = quantize(runner.context(), source, folder / "whole.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(contents(out) == contents(folder / "whole.gguf"));
  for (const QuantizeReport* r : {&*resumed, &*report}) {
    EXPECT_EQ(
        std::ranges::count_if(
            r->notes, [](const std::string& n) { return n.find("1 of 4 experts") != std::string::npos; }),
        3);
    for (const TensorReport& t : r->tensors)
      if (t.name.find("blk.1.") == 0 && t.shape.size() == 3) {
        EXPECT_EQ(t.guide.unseen, 1) << t.name;
        EXPECT_EQ(t.guide.least_tokens, 0) << t.name;
      }
  }
  options.method = "search";
  options.text = nullptr;
  const Checkpoint written = read_gguf(out).value(),
                   searched = quantized(folder / "search.gguf", source, options);
  for (const char* part : {"gate", "up", "down"}) {
    const std::string name = fmt::format("blk.1.ffn_{}_exps.weight", part);
    const std::vector<uint8_t> a = stored(written, name), b = stored(searched, name);
    const auto quarter = static_cast<int64_t>(a.size() / kMixtureExperts);
    EXPECT_TRUE(std::equal(a.end() - quarter, a.end(), b.end() - quarter)) << name;
    EXPECT_FALSE(std::equal(a.begin(), a.begin() + quarter, b.begin())) << name;
  }
}

TEST(MixtureWalk, TransformsComeBefore) {
  Folder folder;
  Runner runner;
  const CalibrationText with = mixture_text(3, 48), other = mixture_text(99);
  for (const char* architecture : {"qwen2moe", "qwen3moe"}) {
    SCOPED_TRACE(architecture);
    const Checkpoint source = mixture_model(architecture);
    QuantizeOptions options = guided(with);
    options.method = "awq+gptq";
    const auto report = quantize(runner.context(), source, folder / "out.gguf", options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_FALSE(report->transforms.empty());
    for (const TensorReport& t : report->tensors)
      if (t.method == "gptq") {
        EXPECT_GT(t.guide.relative_loss, 0) << t.name;
        EXPECT_LT(t.guide.relative_loss, 0.02) << t.name;
      }
    options.method = "nearest";
    options.text = nullptr;
    const Checkpoint nearest = quantized(folder / "nearest.gguf", source, options);
    EXPECT_LT(divergence_of(source, *read_gguf(folder / "out.gguf"), other),
              0.9 * divergence_of(source, nearest, other));
  }
}

}  // namespace
}  // namespace carat
