// Every family, small and random: the forward pass against its definition, however the tokens are divided.
#include <gtest/gtest.h>

#include <tuple>

#include "arch/tensor_scales.h"
#include "arch/tiny_model.h"
#include "model/forward.h"
#include "model/testing/reference_forward.h"

namespace carat {
namespace {

struct Variant {
  std::string name;
  Checkpoint checkpoint;
  int64_t context = 0;  ///< that rotations are chosen for
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  const testing::TinyShape shape{.layers = 3,
                                 .width = 36,
                                 .feed_forward = 40,
                                 .heads = 6,
                                 .kv_heads = 3,
                                 .head_dim = 6,
                                 .vocabulary = 50};
  const auto number = [](const char* key, double v) {
    return std::pair<std::string, Value>(key, Value::f32(static_cast<float>(v)));
  };
  const auto count = [](const char* key, uint32_t v) {
    return std::pair<std::string, Value>(key, Value::u32(v));
  };
  const std::map<std::string, std::vector<std::pair<std::string, Value>>> keys = {
      {"gemma2",
       {count("gemma2.attention.sliding_window", 7), number("gemma2.attn_logit_softcapping", 2.5),
        number("gemma2.final_logit_softcapping", 5)}},
      {"granite",
       {number("granite.attention.scale", 0.2), number("granite.residual_scale", 0.7),
        number("granite.embedding_scale", 3)}},
      {"phi3",
       {count("phi3.rope.dimension_count", 4), count("phi3.rope.scaling.original_context_length", 20)}},
      {"glm4", {count("glm4.rope.dimension_count", 4)}},
      {"gpt-oss",
       {count("gpt-oss.attention.sliding_window", 7),
        count("gpt-oss.rope.scaling.original_context_length", 16),
        number("gpt-oss.rope.scaling.factor", 4),
        {"gpt-oss.rope.scaling.type", Value::string("yarn")}}},
      {"command-r", {number("command-r.logit_scale", 0.5)}},
  };
  const auto add = [&](const std::string& name, const std::string& architecture, testing::TinyShape s,
                       int64_t context) {
    if (architecture == "phi3") s.rotary_dim = 4;
    Variant v{name, testing::tiny_model(architecture, s, all.size() + 1), context};
    if (const auto own = keys.find(architecture); own != keys.end())
      for (const auto& [key, value] : own->second) v.checkpoint.metadata.set(key, value);
    all.push_back(std::move(v));
  };
  for (const Family* family : all_families()) {
    const std::string name(family->architecture);
    testing::TinyShape own = testing::tiny_shape(*family, shape);
    add(name, name, own, 0);
    testing::TinyShape other = own;
    other.tied = other.biases = true;
    add(name + ", tied, biases", name, other, 0);
  }
  testing::TinyShape longrope = shape;
  longrope.divisors = true;
  add("phi3, short contexts", "phi3", longrope, 20);
  add("phi3, long contexts", "phi3", longrope, 21);
  testing::TinyShape latent = testing::tiny_shape(*find_family("deepseek2"), shape);
  latent.absorbed = true;
  add("deepseek2, absorbed", "deepseek2", latent, 0);
  latent.query_rank = 0;
  add("deepseek2, absorbed, direct queries", "deepseek2", latent, 0);
  for (const auto& [key, value] : {count("deepseek2.expert_group_count", 2),
                                   count("deepseek2.expert_group_used_count", 1),
                                   count("deepseek2.expert_gating_func", 2),
                                   number("deepseek2.expert_weights_scale", 2.5),
                                   {"deepseek2.expert_weights_norm", Value::boolean(true)},
                                   {"deepseek2.rope.scaling.type", Value::string("yarn")},
                                   number("deepseek2.rope.scaling.factor", 4),
                                   count("deepseek2.rope.scaling.original_context_length", 16),
                                   number("deepseek2.rope.scaling.yarn_log_multiplier", 0.1)})
    all.back().checkpoint.metadata.set(key, value);
  // The old Falcon has one norm; tiny_model() makes all that may be there.
  add("falcon, old", "falcon", shape, 0);
  std::erase_if(all.back().checkpoint.tensors,
                [](const Tensor& t) { return t.name.find("attn_norm_2") != std::string::npos; });
  (void)all.back().checkpoint.reindex();
  return all;
}

Weights load(const Variant& v) {
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  auto weights = load_weights({pool, cancellation, progress}, v.checkpoint);
  EXPECT_TRUE(weights.ok()) << v.name << (weights.ok() ? "" : weights.error().message);
  weights->config.use_context(v.context);
  return *std::move(weights);
}

std::vector<int32_t> tokens_of(int64_t n, int64_t vocabulary) {
  Random random(5);
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (int32_t& t : tokens) t = static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocabulary));
  return tokens;
}

/// Logits [n, vocabulary], the tokens given in pieces.
std::vector<float> run(const Weights& weights, const std::vector<int32_t>& tokens, ActivationScheme scheme,
                       int threads, int64_t piece, InputTap* tap = nullptr) {
  const ModelConfig& c = weights.config;
  const Model model{weights, **default_kernel_table(), scheme, nullptr, tap};
  ThreadPool pool(threads);
  const auto n = static_cast<int64_t>(tokens.size());
  const KvFormat format{KvEncoding::f16, c.kv_heads, c.head_dim};
  const int64_t size = (format.bytes(n) + 63) / 64 * 64;
  std::vector<uint8_t> cache(static_cast<size_t>(c.layers * size + 64));
  uint8_t* aligned = cache.data() + (64 - reinterpret_cast<uintptr_t>(cache.data()) % 64) % 64;
  std::vector<KvView> kv;
  for (int64_t l = 0; l < c.layers; ++l) kv.push_back({aligned + l * size, format, Place::cpu});
  ForwardScratch scratch;
  std::vector<float> logits;
  for (int64_t first = 0; first < n; first += piece) {
    const int64_t count = std::min(piece, n - first);
    std::vector<float> hidden(static_cast<size_t>(count * c.width)),
        out(static_cast<size_t>(count * c.vocabulary));
    const ForwardSegment segment{std::span(tokens).subspan(first, count), first, kv, count};
    forward(pool, model, scratch, {&segment, 1}, hidden.data());
    output_logits(pool, model, hidden.data(), count, out.data());
    logits.insert(logits.end(), out.begin(), out.end());
  }
  return logits;
}

TEST(Families, AgreeWithTheDefinitionInDouble) {
  for (const Variant& v : variants()) {
    const Weights weights = load(v);
    const auto tokens = tokens_of(48, weights.config.vocabulary);
    const auto expected = testing::ReferenceForward(v.checkpoint, v.context).logits(tokens);
    const auto actual = run(weights, tokens, ActivationScheme::float32, 2, 48);
    double worst = 0, difference = 0, squares = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      const double exact = expected[i / static_cast<size_t>(weights.config.vocabulary)]
                                   [i % static_cast<size_t>(weights.config.vocabulary)];
      worst = std::max(worst, std::abs(exact - actual[i]));
      difference += (exact - actual[i]) * (exact - actual[i]);
      squares += exact * exact;
    }
    // As in forward_test.cc; what differs is the rounding of keys and values to f16.
    EXPECT_LT(worst / std::sqrt(squares / static_cast<double>(actual.size())), 2e-2) << v.name;
    EXPECT_LT(std::sqrt(difference / squares), 1e-3) << v.name;
  }
}

TEST(Families, SameBitsForAnyChunkingAndThreads) {
  for (const Variant& v : variants()) {
    const Weights weights = load(v);
    const auto tokens = tokens_of(40, weights.config.vocabulary);
    const auto all_at_once = run(weights, tokens, ActivationScheme::float32, 1, 40);
    EXPECT_EQ(run(weights, tokens, ActivationScheme::float32, 3, 40), all_at_once) << v.name;
    EXPECT_EQ(run(weights, tokens, ActivationScheme::float32, 2, 7), all_at_once) << v.name;
    EXPECT_EQ(run(weights, tokens, ActivationScheme::float32, 1, 1), all_at_once) << v.name;
  }
}

TEST(Families, FactorsOfMatricesCountAsIfMultipliedIn) {
  for (Variant& v : variants()) {
    const Family& family = *find_family(*v.checkpoint.metadata.string_or("general.architecture", ""));
    std::vector<Tensor> scales;
    const float factors[] = {2, 0.5f, 4, 0.25f, -1};  // powers of two: no product rounds
    const auto add = [&](const TensorRule& rule, int64_t layer) {
      const Tensor* t = may_have_scale(rule) ? v.checkpoint.find(rule.gguf_name(layer)) : nullptr;
      if (!t) return;
      const int64_t n = t->shape.size() == 3 && t->name.find("_exps.") != std::string::npos ? t->shape[0] : 1;
      std::vector<float> values;
      for (int64_t i = 0; i < n; ++i) values.push_back(factors[(scales.size() + static_cast<size_t>(i)) % 5]);
      scales.push_back({scale_name(t->name), {n}, &encoding_f32(), float_data(values, n)});
    };
    for (const TensorRule& rule : family.tensors)
      for (int64_t layer = 0; layer < (rule.per_layer() ? 3 : 1); ++layer) add(rule, layer);
    ASSERT_GT(scales.size(), 9u) << v.name;
    const Variant plain = v;
    for (Tensor& t : scales) v.checkpoint.tensors.push_back(t);
    v.checkpoint.tensors.push_back(
        {"blk.1.attn_output.input_scale", {1}, &encoding_f32(), float_data({7}, 1)});  // of no account
    ASSERT_TRUE(v.checkpoint.reindex().ok());
    const auto folded = fold_scales(v.checkpoint);
    ASSERT_TRUE(folded.ok()) << folded.error().message;
    EXPECT_EQ(folded->tensors.size(), plain.checkpoint.tensors.size());

    const Weights weights = load(v);
    const auto tokens = tokens_of(20, weights.config.vocabulary);
    const auto expected = run(load({v.name, *folded, v.context}), tokens, ActivationScheme::float32, 1, 20);
    EXPECT_EQ(run(weights, tokens, ActivationScheme::float32, 2, 20), expected) << v.name;
    EXPECT_EQ(run(weights, tokens, ActivationScheme::float32, 1, 1), expected) << v.name;
    EXPECT_NE(run(load(plain), tokens, ActivationScheme::float32, 2, 20), expected) << v.name;
  }
}

/// By layer, input and matrix.
struct Recorder final : InputTap {
  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    auto& rows = inputs[{place.layer, place.input, place.matrix}];
    rows.insert(rows.end(), x, x + tokens * columns);
  }
  std::map<std::tuple<int64_t, LinearInput, int64_t>, std::vector<float>> inputs;
};

/// Row r of a matrix times row t of x.
double product(const WeightView& w, int64_t r, const std::vector<float>& x, int64_t t) {
  const auto* row = reinterpret_cast<const float*>(w.data) + r * w.columns;
  double sum = 0;
  for (int64_t k = 0; k < w.columns; ++k) sum += double{row[k]} * x[static_cast<size_t>(t * w.columns + k)];
  return sum;
}

TEST(Families, TapsSeeWhatEachHeadOfAbsorbedAttentionReads) {
  constexpr int64_t n = 20;
  int checked = 0;
  for (const Variant& v : variants()) {
    const Weights weights = load(v);
    const ModelConfig& c = weights.config;
    if (!c.latent.absorbed) continue;
    ++checked;
    Recorder recorder;
    run(weights, tokens_of(n, c.vocabulary), ActivationScheme::float32, 2, n, &recorder);
    const LayerWeights& w = weights.layers[0];
    const LinearInput queries_read =
        c.latent.query_rank > 0 ? LinearInput::query_latent : LinearInput::attention;
    const auto& x = recorder.inputs.at({0, queries_read, 0});
    const auto& out = recorder.inputs.at({0, LinearInput::attention_output, 0});
    const int64_t query = c.latent.plain + c.rotary_dim;
    for (int64_t head = 0; head < c.heads; ++head) {
      const auto& plain = recorder.inputs.at({0, LinearInput::key_heads, head});
      const auto& mixed = recorder.inputs.at({0, LinearInput::value_heads, head});
      ASSERT_EQ(std::ssize(plain), n * c.latent.plain);
      ASSERT_EQ(std::ssize(mixed), n * c.latent.rank);
      const WeightView values = one_of(w.v_expansion, head, c.heads);
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t k = 0; k < c.latent.plain; ++k)
          EXPECT_NEAR(plain[static_cast<size_t>(t * c.latent.plain + k)],
                      product(w.q, head * query + k, x, t), 1e-4);
        for (int64_t k = 0; k < c.latent.value; ++k)
          EXPECT_NEAR(out[static_cast<size_t>((t * c.heads + head) * c.latent.value + k)],
                      product(values, k, mixed, t), 1e-4);
      }
    }
  }
  EXPECT_EQ(checked, 2);
}

TEST(Families, MatricesOfEveryRoleCanBeExchanged) {
  for (const Variant& v : variants()) {
    const Family& family = *find_family(*v.checkpoint.metadata.string_or("general.architecture", ""));
    Weights weights = load(v);
    if (weights.config.experts.count == 0) continue;
    const int64_t last = weights.config.layers - 1;
    LayerWeights& layer = weights.layers[static_cast<size_t>(last)];
    for (const LinearInput input : layer_inputs)
      for (const Role role : reader_roles(input)) {
        const TensorRule* rule = family.rule(role);
        const Tensor* t = rule ? v.checkpoint.find(rule->gguf_name(last)) : nullptr;
        if (!t) continue;
        const WeightView before = matrix_of(layer, role);
        EXPECT_EQ(before.rows, t->rows()) << v.name << " " << rule->gguf;
        const std::vector<float> values = *t->read_all();
        ASSERT_NE(before.data, nullptr) << v.name << " " << rule->gguf;
        EXPECT_EQ(std::memcmp(before.data, values.data(), values.size() * sizeof(float)), 0) << rule->gguf;
        WeightView other = before;
        other.data = reinterpret_cast<const uint8_t*>(values.data());
        set_matrix(layer, role, other);
        EXPECT_EQ(matrix_of(layer, role).data, other.data) << v.name << " " << rule->gguf;
        set_matrix(layer, role, before);
      }
  }
}

TEST(Families, FusedTensorsAreViewsOfTheirRows) {
  for (const Variant& v : variants()) {
    const Family& family = *find_family(*v.checkpoint.metadata.string_or("general.architecture", ""));
    Weights weights = load(v);
    if (weights.config.experts.count > 0) continue;  // experts are stacked, not fused
    for (const TensorRule& rule : family.tensors) {
      if (rule.shape.size() != 2 || !rule.per_layer()) continue;
      const Tensor* t = v.checkpoint.find(rule.gguf_name(0));
      if (!t) continue;  // of mixtures of experts
      LayerWeights& layer = weights.layers.front();
      const WeightView before = matrix_of(layer, rule.role);
      EXPECT_EQ(before.rows, t->rows()) << v.name << " " << rule.gguf;
      EXPECT_EQ(before.columns, t->columns()) << v.name << " " << rule.gguf;
      const std::vector<float> values = *t->read_all();
      EXPECT_EQ(std::memcmp(before.data, values.data(), values.size() * sizeof(float)), 0)
          << v.name << " " << rule.gguf;
      WeightView other = before;
      other.data = reinterpret_cast<const uint8_t*>(values.data());
      set_matrix(layer, rule.role, other);
      EXPECT_EQ(matrix_of(layer, rule.role).data, other.data) << v.name << " " << rule.gguf;
      EXPECT_EQ(matrix_of(layer, rule.role).rows, before.rows) << v.name << " " << rule.gguf;
    }
  }
}

}  // namespace
}  // namespace carat
