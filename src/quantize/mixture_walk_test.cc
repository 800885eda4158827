// Error feedback in mixtures of experts and with latent attention: each expert's matrix is rounded as it
// would be alone, with the Hessian of its own tokens, and the promises of the walk hold.
#include <algorithm>
#include <map>

#include "arch/tiny_model.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "model/forward.h"
#include "quantize/block_walker.h"
#include "quantize/expert_feedback.h"
#include "quantize/hidden_states.h"
#include "quantize/testing.h"
#include "rounders/rounder.h"
#include "stats/gram.h"
#include "stats/testing.h"

namespace carat {
namespace {

using namespace testing;

constexpr int64_t kContext = 24, kVocabulary = 96, kExperts = 4;

CalibrationText text(uint64_t seed = 3, int64_t sequences = 24) {
  CalibrationText out = random_text(sequences, kContext, kVocabulary, seed);
  out.digest = std::string(64, 'a');
  return out;
}

struct Variant {
  std::string name;
  Checkpoint checkpoint;
};

Checkpoint model(const std::string& architecture, bool absorbed = false) {
  TinyShape shape{.layers = 2,
                  .width = 64,
                  .feed_forward = 64,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 32,
                  .vocabulary = kVocabulary,
                  .experts = kExperts,
                  .expert_feed_forward = 64,
                  .latent_rank = 32,
                  .query_rank = 32,
                  .latent_value = 32,
                  .absorbed = absorbed};
  // So that heads' own products have rows of 32.
  if (architecture == "deepseek2") shape.head_dim = 34;
  return tiny_model(architecture, tiny_shape(*find_family(architecture), shape), 5);
}

/// One of each: without and with shared experts, with biases, with latent attention in both layouts.
std::vector<Variant> variants() {
  return {{"mixtral", model("llama")},       {"qwen2moe", model("qwen2moe")},
          {"qwen3moe", model("qwen3moe")},   {"gpt-oss", model("gpt-oss")},
          {"deepseek2", model("deepseek2")}, {"deepseek2 absorbed", model("deepseek2", true)}};
}

QuantizeOptions guided(const CalibrationText& with, std::string_view recipe = "Q4_0") {
  QuantizeOptions o = options_for(recipe);
  o.recipe.rules = {*parse_tensor_rule("^output=Q8_0")};
  o.method = "gptq";
  o.text = &with;
  return o;
}

/// Hidden states of all tokens after `layers` layers; `tap` is shown what the last of them reads.
std::vector<float> states_after(const Checkpoint& checkpoint, const CalibrationText& with, int64_t layers,
                                ActivationScheme scheme, InputTap* tap = nullptr) {
  Runner runner;
  const auto weights = load_weights(runner.context(), checkpoint);
  EXPECT_TRUE(weights.ok()) << weights.error().message;
  Sequences sequences(weights->config, with);
  std::vector<float> x(sequences.state_size());
  EXPECT_TRUE(sequences.embed(runner.context(), *weights, x.data()).ok());
  for (int64_t l = 0; l < layers; ++l) {
    const Model m{*weights, **default_kernel_table(), scheme, nullptr, l + 1 == layers ? tap : nullptr};
    EXPECT_TRUE(
        sequences.through(runner.context(), m, weights->layers[static_cast<size_t>(l)], l, x.data()).ok());
  }
  return x;
}

/// Mean KL of all predictions but the first few of each sequence.
double divergence_of(const Checkpoint& source, const Checkpoint& candidate, const CalibrationText& with) {
  Runner runner;
  std::vector<float> states[2];
  std::vector<Weights> weights;
  const ScoredPositions positions{4, kContext};
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

std::vector<float> hessian_of(const std::vector<float>& rows, int64_t columns) {
  Runner runner;
  std::vector<float> h(static_cast<size_t>(columns * columns));
  accumulate_gram(runner.pool, **default_kernel_table(), ActivationScheme::bfloat16, rows.data(),
                  static_cast<int64_t>(rows.size()) / columns, columns, h.data());
  mirror_gram(runner.pool, h.data(), columns);
  return h;
}

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
  const CalibrationText with = text();
  const KernelTable& kernels = **default_kernel_table();
  for (const Variant& v : variants()) {
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
        const auto factor = prepare_feedback(runner.context(), kernels, h, columns, {});
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
        EXPECT_LT(loss(rounded), 0.8 * loss(coarse)) << name << ", matrix " << e;
      }
    }
  }
}

TEST(MixtureWalk, AnswersAreNearerThanAfterRoundingThatKnowsNoInputs) {
  Folder folder;
  const CalibrationText with = text(3, 48), other = text(99);
  double sum_guided = 0, sum_nearest = 0;
  for (const Variant& v : variants()) {
    SCOPED_TRACE(v.name);
    QuantizeOptions options = guided(with);
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
  EXPECT_LT(sum_guided, 0.8 * sum_nearest);
}

TEST(MixtureWalk, TheReportSaysHowManyTokensExpertsSaw) {
  Folder folder;
  Runner runner;
  const CalibrationText with = text();
  for (const Variant& v : variants()) {
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
        EXPECT_LE(t.guide.least_tokens, with.tokens() * 2 / kExperts) << t.name;
        EXPECT_GE(t.guide.tokens, with.tokens() * 2 / kExperts) << t.name;
      } else {
        EXPECT_EQ(t.guide.least_tokens, with.tokens()) << t.name;
      }
    }
  }
}

TEST(MixtureWalk, TheNumberOfThreadsAndTheSlabsDoNotMatter) {
  Folder folder;
  const CalibrationText with = text();
  for (const Variant& v : variants()) {
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
  const CalibrationText with = text();
  for (const Variant& v : variants()) {
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

/// gpt-oss whose last expert of the second layer is never asked.
Checkpoint with_an_idle_expert() {
  Checkpoint c = model("gpt-oss");
  for (Tensor& t : c.tensors) {
    if (t.name != "blk.1.ffn_gate_inp.bias") continue;
    std::vector<float> values = *t.read_all();
    values.back() = -1e6f;
    t.data = float_data(std::move(values), t.columns());
  }
  EXPECT_TRUE(c.reindex().ok());
  return c;
}

TEST(MixtureWalk, AnExpertThatSawNothingIsAnErrorUnlessItMayBeRoundedAsWithoutText) {
  Folder folder;
  Runner runner;
  const CalibrationText with = text();
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
    const auto quarter = static_cast<int64_t>(a.size() / kExperts);
    EXPECT_TRUE(std::equal(a.end() - quarter, a.end(), b.end() - quarter)) << name;
    EXPECT_FALSE(std::equal(a.begin(), a.begin() + quarter, b.begin())) << name;
  }
}

TEST(MixtureWalk, TransformsComeBefore) {
  Folder folder;
  Runner runner;
  const CalibrationText with = text(3, 48), other = text(99);
  for (const char* architecture : {"qwen2moe", "qwen3moe"}) {
    SCOPED_TRACE(architecture);
    const Checkpoint source = model(architecture);
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

TEST(ExpertFeedback, IsTheSameWhetherFactorsAreKeptOrMadeAgain) {
  Runner runner;
  const CalibrationText with = text();
  const Checkpoint source = model("qwen3moe");
  const Weights weights = load_weights(runner.context(), source).value();
  const KernelTable& kernels = **default_kernel_table();
  const Model m{weights, kernels, ActivationScheme::float32};
  const std::vector<float> x = states_after(source, with, 1, ActivationScheme::float32);
  ExpertFeedback keeps(kernels, {}), forgets(kernels, {}, 0), keeps_one(kernels, {}, 12000);
  const Encoding& q4 = *find_encoding("Q4_0");
  std::vector<std::vector<float>> slices;
  for (ExpertFeedback* f : {&keeps, &forgets, &keeps_one}) {
    ASSERT_TRUE(f->enter(runner.context(), m, weights.layers[1], 1, x).ok());
    int64_t tokens = 0;
    for (int again = 0; again < 2; ++again)
      for (const LinearInput input : {LinearInput::experts, LinearInput::experts_down})
        for (int64_t e = 0; e < kExperts; ++e) {
          const auto matrix = f->matrix(runner.context(), m, weights.layers[1], input, e, q4);
          ASSERT_TRUE(matrix.ok()) << matrix.error().message;
          if (again == 0 && input == LinearInput::experts) tokens += (*matrix)->tokens;
          slices.push_back((*matrix)->factor.slices);
        }
    EXPECT_EQ(tokens, 2 * with.tokens());
  }
  const size_t each = slices.size() / 3;
  for (size_t i = 0; i < each; ++i) {
    EXPECT_EQ(slices[i], slices[i + each]) << i;
    EXPECT_EQ(slices[i], slices[i + 2 * each]) << i;
    EXPECT_EQ(slices[i], slices[(i + each / 2) % each]) << i;
    EXPECT_NE(slices[i], slices[(i + 1) % each]) << i;
  }
}

}  // namespace
}  // namespace carat
