#include "model/forward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "model/testing/random_model.h"
#include "model/testing/reference_forward.h"

namespace carat {
namespace {

using testing::RandomModel;

std::string description(const RandomModel& m) {
  return fmt::format("{}, {} key-value heads, window {}, {} tied, {} divisors, {} more keys, {}",
                     m.architecture, m.kv_heads, m.window, m.tied ? "" : "not", m.divisors ? "with" : "no",
                     m.metadata.size(), m.encoding->name);
}

std::vector<int32_t> random_tokens(int64_t n, int64_t vocabulary, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& t : tokens) t = static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocabulary));
  return tokens;
}

/// A sequence's tokens and cache.
struct Sequence {
  Sequence(const ModelConfig& c, std::vector<int32_t> ids) : tokens(std::move(ids)) {
    const KvFormat format{KvEncoding::f16, c.kv_heads, c.head_dim};
    const int64_t size = format.bytes(static_cast<int64_t>(tokens.size()));
    cache.resize(c.layers * size);
    for (int64_t l = 0; l < c.layers; ++l) kv.push_back({cache.data() + l * size, format, Place::cpu});
  }
  ForwardSegment segment(int64_t first, int64_t count, int64_t kept) const {
    return {std::span(tokens).subspan(first, count), first, kv, kept};
  }

  std::vector<int32_t> tokens;
  std::vector<uint8_t> cache;
  std::vector<KvView> kv;
};

/// Logits [n, vocabulary] of tokens given to forward() in pieces of the sizes in `pieces` (the last repeats).
std::vector<float> run(const Weights& weights, const std::vector<int32_t>& tokens, ActivationScheme scheme,
                       int threads, std::vector<int64_t> pieces) {
  const ModelConfig& c = weights.config;
  const Model model{weights, **default_kernel_table(), scheme};
  ThreadPool pool(threads);
  const int64_t n = static_cast<int64_t>(tokens.size());
  const Sequence sequence(c, tokens);
  ForwardScratch scratch;
  std::vector<float> logits;
  for (int64_t first = 0; first < n;) {
    const int64_t count = std::min(pieces.front(), n - first);
    if (pieces.size() > 1) pieces.erase(pieces.begin());
    std::vector<float> hidden(count * c.width), out(count * c.vocabulary);
    const ForwardSegment segment = sequence.segment(first, count, count);
    forward(pool, model, scratch, {&segment, 1}, hidden.data());
    output_logits(pool, model, hidden.data(), count, out.data());
    logits.insert(logits.end(), out.begin(), out.end());
    first += count;
  }
  return logits;
}

Weights load(const Checkpoint& checkpoint) {
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  auto weights = load_weights({pool, cancellation, progress}, checkpoint);
  EXPECT_TRUE(weights.ok()) << (weights.ok() ? "" : weights.error().message);
  return *std::move(weights);
}

TEST(Forward, AgreesWithTheDefinitionInDouble) {
  for (RandomModel m : testing::model_variants()) {
    for (const char* encoding : {"F32", "F16", "BF16", "Q8_0"}) {
      m.encoding = find_encoding(encoding);
      const Checkpoint checkpoint = testing::random_model(m);
      const std::vector<int32_t> tokens = random_tokens(90, m.vocabulary, m.seed);
      const auto expected = testing::ReferenceForward(checkpoint).logits(tokens);
      const auto actual = run(load(checkpoint), tokens, ActivationScheme::float32, 2, {64});
      // Where float and double fall on two sides of an f16 rounding of a key or value, the two differ by
      // 2^-11 of it; everything else is far smaller. As shares of the spread of the logits, measured: at
      // most 1.7e-3 for one logit, 1e-4 in the root mean square.
      double worst = 0, difference = 0, squares = 0;
      for (size_t t = 0; t < tokens.size(); ++t) {
        for (int64_t i = 0; i < m.vocabulary; ++i) {
          const double d = expected[t][i] - actual[t * m.vocabulary + i];
          worst = std::max(worst, std::abs(d));
          difference += d * d;
          squares += expected[t][i] * expected[t][i];
        }
      }
      const double spread = std::sqrt(squares / static_cast<double>(actual.size()));
      EXPECT_LT(worst / spread, 4e-3) << description(m);
      EXPECT_LT(std::sqrt(difference / squares), 3e-4) << description(m);
    }
  }
}

TEST(Forward, RoundedActivationsStayNear) {
  for (RandomModel m : testing::model_variants()) {
    m.encoding = find_encoding("Q8_0");
    const Checkpoint checkpoint = testing::random_model(m);
    const std::vector<int32_t> tokens = random_tokens(90, m.vocabulary, m.seed);
    const auto exact = run(load(checkpoint), tokens, ActivationScheme::float32, 1, {64});
    const auto rounded = run(load(checkpoint), tokens, ActivationScheme::int8_32, 1, {64});
    double squares = 0, difference = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      squares += exact[i] * exact[i];
      difference += (exact[i] - rounded[i]) * (exact[i] - rounded[i]);
    }
    EXPECT_GT(difference, 0) << description(m);
    // int8 rounds by about 0.5 % per product; where two experts' scores are closer than that, a token goes
    // through another one.
    EXPECT_LT(std::sqrt(difference / squares), m.experts > 0 ? 0.2 : 0.05) << description(m);
  }
}

TEST(Forward, SameBitsForAnyChunkingAndThreads) {
  for (RandomModel m : testing::model_variants()) {
    for (const char* encoding : {"BF16", "Q8_0"}) {
      m.encoding = find_encoding(encoding);
      const Weights weights = load(testing::random_model(m));
      const std::vector<int32_t> tokens = random_tokens(75, m.vocabulary, m.seed + 1);
      for (const auto scheme :
           {ActivationScheme::int8_32, ActivationScheme::float32, ActivationScheme::int8_32_everywhere}) {
        const auto all_at_once = run(weights, tokens, scheme, 1, {75});
        EXPECT_EQ(run(weights, tokens, scheme, 3, {75}), all_at_once) << description(m);
        EXPECT_EQ(run(weights, tokens, scheme, 2, {1}), all_at_once) << description(m);
        EXPECT_EQ(run(weights, tokens, scheme, 2, {7, 1, 30, 2, 16}), all_at_once) << description(m);
      }
    }
  }
}

TEST(Forward, KeepingOnlySomeTokensChangesNothing) {
  const RandomModel m;
  const Weights weights = load(testing::random_model(m));
  const ModelConfig& c = weights.config;
  const Model model{weights, **default_kernel_table(), ActivationScheme::int8_32};
  ThreadPool pool(2);
  const std::vector<int32_t> tokens = random_tokens(40, m.vocabulary, 5);
  const auto hidden_from = [&](int64_t first_kept) {
    const Sequence sequence(c, tokens);
    ForwardScratch scratch;
    std::vector<float> hidden((40 - first_kept) * c.width);
    const ForwardSegment segment = sequence.segment(0, 40, 40 - first_kept);
    forward(pool, model, scratch, {&segment, 1}, hidden.data());
    hidden.insert(hidden.end(), sequence.cache.begin(),
                  sequence.cache.end());  // the cache must be whole as well
    return hidden;
  };
  const auto all = hidden_from(0);
  for (const int64_t first : {1, 13, 39, 40}) {
    EXPECT_EQ(hidden_from(first), std::vector<float>(all.begin() + first * c.width, all.end())) << first;
  }
}

TEST(Forward, SequencesTogetherHaveTheBitsOfEachAlone) {
  for (RandomModel m : testing::model_variants()) {
    m.encoding = find_encoding("Q8_0");
    const Weights weights = load(testing::random_model(m));
    const ModelConfig& c = weights.config;
    const Model model{weights, **default_kernel_table(), ActivationScheme::int8_32};
    // Sequences at different positions; what each gives to the call: prefill, steps, nothing, something of
    // which nothing is kept.
    struct Part {
      int64_t before, count, kept;
    };
    const Part parts[] = {{0, 37, 37}, {5, 1, 1}, {70, 1, 1}, {3, 0, 0}, {63, 20, 4}, {9, 6, 0}, {0, 1, 1}};
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      ForwardScratch scratch;
      std::vector<Sequence> together, alone;
      std::vector<float> expected;
      int64_t kept = 0;
      for (const Part& part : parts) {
        const auto tokens = random_tokens(part.before + part.count, m.vocabulary, 100 + together.size());
        together.emplace_back(c, tokens);
        alone.emplace_back(c, tokens);
        for (const Sequence* s : {&together.back(), &alone.back()}) {
          const ForwardSegment before = s->segment(0, part.before, 0);
          forward(pool, model, scratch, {&before, 1}, nullptr);
        }
        const ForwardSegment rest = alone.back().segment(part.before, part.count, part.kept);
        std::vector<float> hidden(part.kept * c.width);
        forward(pool, model, scratch, {&rest, 1}, hidden.data());
        expected.insert(expected.end(), hidden.begin(), hidden.end());
        kept += part.kept;
      }
      std::vector<ForwardSegment> segments;
      for (size_t i = 0; i < std::size(parts); ++i)
        segments.push_back(together[i].segment(parts[i].before, parts[i].count, parts[i].kept));
      std::vector<float> hidden(kept * c.width);
      forward(pool, model, scratch, segments, hidden.data());
      EXPECT_EQ(hidden, expected) << description(m);
      for (size_t i = 0; i < std::size(parts); ++i)
        EXPECT_EQ(together[i].cache, alone[i].cache) << description(m) << ", sequence " << i;
    }
  }
}

/// Keeps a copy of all that is shown.
class Recorder final : public InputTap {
 public:
  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    std::vector<float>& seen = inputs[{place.layer, place.input}];
    seen.insert(seen.end(), x, x + tokens * columns);
  }
  std::map<std::pair<int64_t, LinearInput>, std::vector<float>> inputs;
};

TEST(Forward, LayerByLayerOverManySequencesHasTheBitsOfForward) {
  for (RandomModel m : testing::model_variants()) {
    m.encoding = find_encoding("BF16");
    const Checkpoint checkpoint = testing::random_model(m);
    const Weights weights = load(checkpoint);
    const ModelConfig& c = weights.config;
    ThreadPool pool(2);
    Cancellation cancellation;
    Progress progress;
    const Context context{pool, cancellation, progress};
    const int64_t n = 40;
    std::vector<Sequence> sequences;
    for (uint64_t i = 0; i < 3; ++i) sequences.emplace_back(c, random_tokens(n, m.vocabulary, i));

    ForwardScratch scratch;
    Recorder whole, stepwise;
    Model model{weights, **default_kernel_table(), ActivationScheme::float32, nullptr, &whole};
    std::vector<float> expected(3 * n * c.width), logits(n * c.vocabulary);
    for (size_t i = 0; i < 3; ++i) {
      const ForwardSegment segment = sequences[i].segment(0, n, n);
      float* hidden = expected.data() + i * n * c.width;
      forward(pool, model, scratch, {&segment, 1}, hidden);
      output_logits(pool, model, hidden, n, logits.data());
    }

    // One layer at a time, its weights loaded for it alone, and one cache for everything.
    const auto outer = load_outer_weights(context, checkpoint);
    ASSERT_TRUE(outer.ok());
    EXPECT_TRUE(outer->layers.empty());
    const Model part{*outer, **default_kernel_table(), ActivationScheme::float32, nullptr, &stepwise};
    std::vector<float> x(3 * n * c.width);
    const auto call = [&](size_t i) {
      ForwardSegment segment = sequences[i].segment(0, n, n);
      segment.kv = sequences[0].kv;
      return segment;
    };
    for (size_t i = 0; i < 3; ++i) {
      const ForwardSegment segment = call(i);
      embed(pool, *outer, {&segment, 1}, x.data() + i * n * c.width);
    }
    for (int64_t l = 0; l < c.layers; ++l) {
      const auto layer = load_layer(context, checkpoint, c, l);
      ASSERT_TRUE(layer.ok());
      for (size_t i = 0; i < 3; ++i) {
        const ForwardSegment segment = call(i);
        begin_forward(pool, c, {&segment, 1}, scratch);
        EXPECT_EQ(forward_layer(pool, part, layer->weights(), l, {&segment, 1}, false,
                                x.data() + i * n * c.width, scratch),
                  n);
      }
    }
    final_norm(pool, part, x.data(), 3 * n, x.data());
    EXPECT_EQ(x, expected) << description(m);

    stepwise.input({0, LinearInput::output}, x.data(), 3 * n, c.width);
    EXPECT_EQ(stepwise.inputs, whole.inputs) << description(m);
    size_t inputs = 1;
    for (int64_t l = 0; l < c.layers; ++l)
      for (const LinearInput input : layer_inputs) inputs += !reader_names(c, input, l).empty();
    ASSERT_EQ(whole.inputs.size(), inputs);
    for (const auto& [key, values] : whole.inputs) {
      const int64_t rows = 3 * n * (per_expert(key.second) ? c.experts.used : 1);
      EXPECT_EQ(static_cast<int64_t>(values.size()), rows * input_columns(c, key.second, key.first));
    }
  }
}

TEST(Forward, TapsSeeWhatTheMatricesRead) {
  // The one product that can be computed from outside: of the output matrix, and of q through its norm.
  const RandomModel m;
  const Checkpoint checkpoint = testing::random_model(m);
  const Weights weights = load(checkpoint);
  Recorder recorder;
  const Model model{weights, **default_kernel_table(), ActivationScheme::float32, nullptr, &recorder};
  ThreadPool pool(1);
  const Sequence sequence(weights.config, random_tokens(5, m.vocabulary, 3));
  const ForwardSegment segment = sequence.segment(0, 5, 5);
  ForwardScratch scratch;
  std::vector<float> hidden(5 * m.width);
  forward(pool, model, scratch, {&segment, 1}, hidden.data());

  // scratch.gate still holds the input of the last layer's down.
  const auto& down = recorder.inputs[{m.layers - 1, LinearInput::down}];
  EXPECT_EQ(down, std::vector<float>(scratch.gate.begin(), scratch.gate.begin() + 5 * m.feed_forward));
  std::vector<float> x(5 * m.width), normed(5 * m.width);
  embed(pool, weights, {&segment, 1}, x.data());
  rms_norm(model.kernels, x.data(), weights.layers[0].attention_norm.gain.data(), weights.config.norm_epsilon,
           5, m.width, normed.data());
  const auto first = std::pair<int64_t, LinearInput>{0, LinearInput::attention};
  EXPECT_EQ(recorder.inputs[first], normed);
}

TEST(LinearInputs, NameEveryMatrixOnce) {
  for (const RandomModel& m : testing::model_variants()) {
    const Checkpoint checkpoint = testing::random_model(m);
    const Weights weights = load(checkpoint);
    const ModelConfig& c = weights.config;
    std::map<std::string, int> seen;
    const auto look = [&](LinearInput input, int64_t layer) {
      for (const std::string& name : reader_names(c, input, layer)) {
        ++seen[name];
        ASSERT_NE(checkpoint.find(name), nullptr) << name;
        EXPECT_EQ(checkpoint.find(name)->columns(), input_columns(c, input, layer)) << name;
      }
    };
    for (int64_t l = 0; l < c.layers; ++l)
      for (const LinearInput input : layer_inputs) look(input, l);
    look(LinearInput::output, 0);
    for (const Tensor& t : checkpoint.tensors) {
      const bool router = t.name.find("ffn_gate_inp") != std::string::npos;
      const bool read = t.shape.size() > 1 && !router && (t.name != "token_embd.weight" || c.tied_embeddings);
      EXPECT_EQ(seen[t.name], read ? 1 : 0) << t.name;
    }
  }
}

/// A tensor in memory that says it is mapped.
class Mapped final : public TensorData {
 public:
  explicit Mapped(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
  Status read_bytes(int64_t, int64_t, uint8_t*) const override {
    return error(Code::internal, "a mapped matrix was copied");
  }
  Bytes mapped() const override { return bytes_; }
  void release(int64_t, int64_t count) const override { released += count; }

  mutable int64_t released = 0;

 private:
  std::vector<uint8_t> bytes_;
};

TEST(Weights, OfOneLayerAreReleasedWithIt) {
  Checkpoint checkpoint = testing::random_model({});
  std::vector<std::shared_ptr<Mapped>> of_layer, others;
  for (Tensor& t : checkpoint.tensors) {
    if (t.shape.size() != 2) continue;
    std::vector<uint8_t> bytes(t.bytes());
    ASSERT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
    const auto mapped = std::make_shared<Mapped>(std::move(bytes));
    (t.name.starts_with("blk.1.") ? of_layer : others).push_back(mapped);
    t.data = mapped;
  }
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  const auto outer = load_outer_weights(context, checkpoint);
  ASSERT_TRUE(outer.ok());
  {
    const auto layer = load_layer(context, checkpoint, outer->config, 1);
    ASSERT_TRUE(layer.ok());
    const LayerWeights& w = layer->weights();
    EXPECT_EQ(w.down.data, checkpoint.find("blk.1.ffn_down.weight")->data->mapped().data());
    for (const auto& tensor : of_layer) EXPECT_EQ(tensor->released, 0);
  }
  ASSERT_EQ(of_layer.size(), 7u);
  for (const auto& tensor : of_layer) EXPECT_GT(tensor->released, 0);
  for (const auto& tensor : others) EXPECT_EQ(tensor->released, 0);
}

TEST(Weights, ReadsMappedTensorsInPlace) {
  Checkpoint checkpoint = testing::random_model({});
  const uint8_t* expected = nullptr;
  for (Tensor& t : checkpoint.tensors) {
    if (t.name != "blk.1.attn_k.weight") continue;
    std::vector<uint8_t> bytes(t.bytes());
    ASSERT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
    t.data = std::make_shared<Mapped>(std::move(bytes));
    expected = t.data->mapped().data();
  }
  ASSERT_NE(expected, nullptr);
  const Weights weights = load(checkpoint);
  EXPECT_EQ(weights.layers[1].k.data, expected);
  EXPECT_NE(weights.layers[0].k.data, nullptr);
}

TEST(Weights, RefusesValueHeadsOfAnotherSize) {
  Checkpoint checkpoint = testing::random_model({});
  for (Tensor& t : checkpoint.tensors) {
    if (t.name.ends_with("attn_v.weight")) t.shape[0] /= 2;
    if (t.name.ends_with("attn_output.weight")) t.shape[1] /= 2;
  }
  checkpoint.metadata.set("llama.attention.value_length", Value::u32(8));
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const auto weights = load_weights({pool, cancellation, progress}, checkpoint);
  ASSERT_FALSE(weights.ok());
  EXPECT_EQ(weights.error().code, Code::bad_data);
}

}  // namespace
}  // namespace carat
