#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "arch/tiny_model.h"
#include "measure/drive.h"
#include "measure/energy.h"
#include "measure/rounding_rate.h"
#include "measure/speed.h"
#include "measure/synthetic.h"
#include "text/tokenizer.h"

namespace carat {
namespace {

constexpr SyntheticShape kSmall{.layers = 2,
                                .width = 64,
                                .feed_forward = 96,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 16,
                                .vocabulary = 300,
                                .context = 128};

struct Here {
  ThreadPool pool{2};
  Cancellation cancellation;
  Progress progress;
  Context context{pool, cancellation, progress};
};

std::vector<uint8_t> bytes_of(const Tensor& t, int64_t step) {
  std::vector<uint8_t> out(t.bytes());
  for (int64_t row = 0; row < t.rows(); row += step) {
    const int64_t count = std::min(step, t.rows() - row);
    EXPECT_TRUE(t.data->read_bytes(row, count, out.data() + static_cast<uint64_t>(row) * t.row_bytes()).ok());
  }
  return out;
}

TEST(Synthetic, IsAModelWithATokenizer) {
  for (const Encoding* e : {&encoding_f32(), &encoding_f16(), &encoding_bf16()}) {
    auto made = synthetic_llama(kSmall, *e, 1);
    ASSERT_TRUE(made.ok()) << made.error().message;
    EXPECT_EQ((*made->at("blk.1.ffn_down.weight"))->encoding, e);
    const auto config = read_model_config(*made);
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->kv_heads, 2);
    const auto tokenizer = Tokenizer::from_metadata(made->metadata);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    const auto tokens = (*tokenizer)->encode("a z", true, false);
    ASSERT_TRUE(tokens.ok());
    // "<s>", then the first and the 26th of the made-up words.
    EXPECT_EQ(*tokens, (std::vector<TokenId>{1, 259, 259 + 25}));
  }
}

TEST(Synthetic, RowsDependOnNeitherSlabsNorEachOther) {
  const auto a = synthetic_llama(kSmall, encoding_bf16(), 7), b = synthetic_llama(kSmall, encoding_bf16(), 7);
  const auto other = synthetic_llama(kSmall, encoding_bf16(), 8);
  ASSERT_TRUE(a.ok() && b.ok() && other.ok());
  const Tensor& t = **a->at("blk.0.ffn_up.weight");
  EXPECT_EQ(bytes_of(t, 1), bytes_of(**b->at("blk.0.ffn_up.weight"), 17));
  EXPECT_NE(bytes_of(t, 1), bytes_of(**a->at("blk.1.ffn_up.weight"), 1));
  EXPECT_NE(bytes_of(t, 1), bytes_of(**other->at("blk.0.ffn_up.weight"), 1));
}

TEST(Synthetic, WeightsAreNormal) {
  SyntheticShape shape = kSmall;
  shape.vocabulary = 4000;
  const auto c = synthetic_llama(shape, encoding_f32(), 1);
  ASSERT_TRUE(c.ok());
  const auto x = (*c->at("token_embd.weight"))->read_all();
  ASSERT_TRUE(x.ok());
  double sum = 0, squares = 0, within = 0;
  for (const float v : *x) {
    sum += v;
    squares += double{v} * v;
    within += std::fabs(v) < 0.02f;
  }
  const auto n = static_cast<double>(x->size());  // 256,000: five standard errors below
  EXPECT_NEAR(sum / n, 0, 0.02 * 5 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 0.02 * 5 / std::sqrt(2 * n));
  EXPECT_NEAR(within / n, 0.6827, 5 * 0.466 / std::sqrt(n));
}

TEST(Synthetic, ATwinHasTheShapesAndNotTheWeights) {
  const Checkpoint model = testing::tiny_model("qwen2", {});
  const Checkpoint twin = synthetic_twin(model, encoding_f16(), 1);
  ASSERT_EQ(twin.tensors.size(), model.tensors.size());
  for (size_t i = 0; i < twin.tensors.size(); ++i) {
    const Tensor &a = model.tensors[i], &b = twin.tensors[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.shape, b.shape);
    EXPECT_EQ(b.encoding, b.shape.size() > 1 ? &encoding_f16() : a.encoding);
  }
  EXPECT_TRUE(read_model_config(twin).ok());
}

TEST(Synthetic, RefusesShapesThatCannotBe) {
  for (auto change :
       {+[](SyntheticShape& s) { s.layers = 0; }, +[](SyntheticShape& s) { s.vocabulary = 258; },
        +[](SyntheticShape& s) { s.kv_heads = 3; }}) {
    SyntheticShape shape = kSmall;
    change(shape);
    EXPECT_FALSE(synthetic_llama(shape, encoding_bf16(), 1).ok());
  }
  EXPECT_FALSE(synthetic_llama(kSmall, **all_encodings().rbegin(), 1).ok());
}

/// What the definitions say, tensor by tensor, for kSmall in F16.
TEST(ModelWork, CountsWhatAStepReads) {
  for (const bool tied : {false, true}) {
    SyntheticShape shape = kSmall;
    shape.tied = tied;
    const auto c = synthetic_llama(shape, encoding_f16(), 1);
    ASSERT_TRUE(c.ok());
    const auto work = ModelWork::of(*c, ActivationScheme::int8_block, KvEncoding::f16);
    ASSERT_TRUE(work.ok());
    const double matrices = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96);  // two layers
    const double output = 300 * 64, norms = 4 * 5 * 64.0;
    const double kv_row = 2.0 * 2 * 2 * 32;  // k and v, two bytes, two layers, 2 heads of 16
    const Work step = work->decode_step(3, 9);
    EXPECT_EQ(step.bytes, 2 * (matrices + output) + norms + 3 * (2 * 64 + 10 * kv_row));
    EXPECT_EQ(step.f32, 3 * (2 * (matrices + output) + 4.0 * 2 * 64 * 10));
    EXPECT_EQ(step.int8, 0);
    const Work prompt = work->prefill(4, 0);
    EXPECT_EQ(prompt.bytes, 2 * (matrices + output) + norms + 4 * 2 * 64 + 4 * kv_row);
    // Three of the four tokens end with the keys and values of the second layer.
    const double skipped = 3 * 2 * (64 * 64 + 3 * 64 * 96);
    EXPECT_EQ(prompt.f32, 2 * (4 * matrices + output) - skipped + 4.0 * 64 * (1 + 2 + 3 + 4) + 4.0 * 64 * 4);
  }
}

/// In Q8_0: operations on codes unless activations stay floats; keys and values a byte and a share of a
/// scale.
TEST(ModelWork, FollowsActivationsAndCache) {
  auto c = synthetic_llama(kSmall, encoding_f16(), 1);
  ASSERT_TRUE(c.ok());
  for (Tensor& t : c->tensors)  // whose contents nobody looks at
    if (t.shape.size() > 1) t.encoding = find_encoding("Q8_0");
  const double matrices = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96), output = 300 * 64;
  const double products = 2 * (matrices + output), attention = 4.0 * 2 * 64 * 10;
  const auto step = [&](ActivationScheme scheme, KvEncoding kv) {
    const auto work = ModelWork::of(*c, scheme, kv);
    EXPECT_TRUE(work.ok());
    return work.ok() ? work->decode_step(1, 9) : Work();
  };
  const Work codes = step(ActivationScheme::int8_block, KvEncoding::f16);
  EXPECT_EQ(codes.int8, products);
  EXPECT_EQ(codes.f32, attention);
  const Work floats = step(ActivationScheme::float32, KvEncoding::f16);
  EXPECT_EQ(floats.int8, 0);
  EXPECT_EQ(floats.f32, products + attention);
  const Work small = step(ActivationScheme::int8_block, KvEncoding::q8_0);
  EXPECT_EQ(codes.bytes - small.bytes,
            10 * 2 * 2 * 2 * (2 * 16 - (16 + 2.0)));  // positions, k and v, layers, heads
}

TEST(ModelWork, SharesAreOfEachPeak) {
  const Work w{.bytes = 100, .int8 = 30, .bf16 = 0, .f32 = 20};
  const Limits limits{.read = 200, .int8 = 60, .bf16 = 0, .f32 = 10};
  EXPECT_DOUBLE_EQ(memory_share(w, limits, 1), 0.5);
  EXPECT_DOUBLE_EQ(compute_share(w, limits, 5), 0.5);  // half a second and two seconds of five
  EXPECT_EQ(memory_share(w, {}, 1), 0);
  EXPECT_EQ(compute_share(w, limits, 0), 0);
}

TEST(Spread, IsMedianAndRange) {
  EXPECT_EQ(spread({3, 1, 2}).median, 2);
  EXPECT_EQ(spread({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(spread({4, 1, 2, 3}).high, 4);
  EXPECT_EQ(spread({4, 1, 2, 3}).low, 1);
  EXPECT_EQ(spread({}).median, 0);
}

TEST(Limits, EveryInstructionSetHasThem) {
  ThreadPool pool(2);
  for (const Isa isa : available_isas()) {
    const Limits l = LimitMeter(*kernel_table(isa), 8 << 20).measure(pool);
    EXPECT_GT(l.read, 0) << isa_name(isa);
    EXPECT_GT(l.int8, 0) << isa_name(isa);
    EXPECT_GT(l.f32, 0) << isa_name(isa);
  }
}

/// Reads every byte, and neither less nor more: the sink is what their exclusive or must be.
TEST(Limits, TheReadLoopReadsEverything) {
  constexpr size_t kBytes = 4096;
  std::vector<uint8_t> memory(kBytes);
  for (size_t i = 0; i < kBytes; ++i) memory[i] = static_cast<uint8_t>(i * 31 + i / 256);
  for (const Isa isa : available_isas()) {
    alignas(64) float sink[32] = {};
    kernel_table(isa)->peaks.read(memory.data(), kBytes, sink);
    uint8_t expected[64] = {};
    for (size_t i = 0; i < kBytes; ++i) expected[i % 64] ^= memory[i];
    EXPECT_EQ(std::memcmp(sink, expected, 64), 0) << isa_name(isa);
  }
}

TEST(Limits, PeakLoopsCountWhatTheyDo) {
  for (const Isa isa : available_isas()) {
    const PeakLoops& p = kernel_table(isa)->peaks;
    for (auto loop : {p.f32, p.int8, p.bf16}) {
      if (!loop) continue;
      alignas(64) float sink[32] = {};
      const double one = loop(1, sink);
      EXPECT_GT(one, 0);
      EXPECT_EQ(loop(10, sink), 10 * one);
    }
    // With a = b = 1 each round of f32 adds 1 to every chain, of which chain i began with i.
    alignas(64) float sink[32];
    std::fill_n(sink, 32, 1.0f);
    const double chains = p.f32(1, sink) / 32;
    std::fill_n(sink, 32, 1.0f);
    (void)p.f32(5, sink);
    EXPECT_EQ(sink[3], static_cast<float>(chains * 5 + chains * (chains - 1) / 2)) << isa_name(isa);
  }
}

class FakeCounters : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() /
            (std::string("carat-energy-") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& domain, const std::string& file, const std::string& text) {
    std::filesystem::create_directories(root_ / domain);
    std::ofstream(root_ / domain / file) << text;
  }
  void domain(const std::string& name, const std::string& kind, const std::string& energy) {
    write(name, "name", kind);
    write(name, "max_energy_range_uj", "10000000\n");
    write(name, "energy_uj", energy);
  }
  std::filesystem::path root_;
};

TEST_F(FakeCounters, PackagesAddUpAndWrapAround) {
  domain("intel-rapl:0", "package-0\n", "9000000\n");
  domain("intel-rapl:1", "package-1\n", "1000000\n");
  domain("intel-rapl:0:0", "core\n", "1\n");
  domain("intel-rapl:2", "psys\n", "1\n");
  EnergyMeter meter(root_);
  ASSERT_TRUE(meter.available());
  meter.start();
  EXPECT_EQ(meter.joules(), 0);
  write("intel-rapl:0", "energy_uj", "500000\n");   // 1.5 J across the end of the range
  write("intel-rapl:1", "energy_uj", "3000000\n");  // 2 J
  write("intel-rapl:0:0", "energy_uj", "9000000\n");
  EXPECT_DOUBLE_EQ(meter.joules(), 3.5);
}

TEST_F(FakeCounters, WithoutAnyThereIsNothing) {
  EXPECT_FALSE(EnergyMeter(root_).available());
  EXPECT_FALSE(EnergyMeter(root_ / "absent").available());
}

TEST(MemoryWarning, OnlyWhereAModelDoesNotFit) {
  EXPECT_FALSE(memory_warning("m", 100, 100, 1e9));
  EXPECT_FALSE(memory_warning("m", 100, 0, 1e9));  // unknown
  const auto warning = memory_warning("m.gguf", 40'000'000'000, 20'000'000'000, 2e9);
  ASSERT_TRUE(warning);
  for (const char* part : {"m.gguf", "40.0 GB", "20.0 GB", "2.0 GB/s", "about 20 s per token"})
    EXPECT_NE(warning->find(part), std::string::npos) << part << " in " << *warning;
  EXPECT_EQ(memory_warning("m.gguf", 40, 20, 0)->find("drive"), std::string::npos);
}

std::shared_ptr<Engine> small_engine(const Context& context) {
  auto c = synthetic_llama(kSmall, encoding_bf16(), 1);
  auto engine = Engine::load(context, *std::move(c), {});
  return engine.ok() ? *engine : nullptr;
}

TEST(Speed, ReportsEveryCaseForEveryEngineAndNumberOfThreads) {
  Here here;
  const LimitMeter meter(*kernel_table(available_isas().front()), 8 << 20);
  const std::shared_ptr<Engine> engines[] = {small_engine(here.context), small_engine(here.context)};
  SpeedOptions options;
  using Kind = SpeedCase::Kind;
  options.cases = {{Kind::prefill, 8, 0, 1}, {Kind::decode, 4, 5, 3}};
  options.threads = {1, 2};
  options.repetitions = 2;
  const auto report = measure_speed(here.context, meter, engines, options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  ASSERT_EQ(report->results.size(), 8u);
  ASSERT_EQ(report->limits.size(), 2u);
  for (const SpeedResult& r : report->results) {
    EXPECT_GT(r.rate.median, 0);
    EXPECT_GT(r.memory.median, 0);
    EXPECT_GT(r.compute.median, 0);
    EXPECT_GT(r.bytes, 0);
  }
  EXPECT_EQ(report->results[3].engine, 1u);
  EXPECT_EQ(report->results[3].what.batch, 3);
  EXPECT_EQ(report->results[4].threads, 2);
}

TEST(Speed, TooDeepIsAnError) {
  Here here;
  const LimitMeter meter(*kernel_table(available_isas().front()), 8 << 20);
  const std::shared_ptr<Engine> engines[] = {small_engine(here.context)};
  const auto report =
      measure_speed(here.context, meter, engines, {{{SpeedCase::Kind::decode, 4, 127, 1}}, {1}, 1});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::usage);
}

TEST(Speed, SustainedHasOneRatePerSlice) {
  Here here;
  const auto rates = measure_sustained(here.context, *small_engine(here.context), 0.02, 4, 8);
  ASSERT_TRUE(rates.ok());
  ASSERT_EQ(rates->size(), 4u);
  for (const double rate : *rates) EXPECT_GT(rate, 0);
}

TEST(Profile, NamesEveryOperationAndItsWork) {
  Here here;
  const LimitMeter meter(*kernel_table(available_isas().front()), 8 << 20);
  const auto engine = small_engine(here.context);
  const SpeedCase what{SpeedCase::Kind::decode, 4, 6, 2};
  const auto report = measure_profile(here.context, meter, *engine, what);
  ASSERT_TRUE(report.ok()) << report.error().message;
  Work sum;
  double seconds = 0;
  int64_t attentions = 0;
  for (const ProfileLine& l : report->lines) {
    sum += l.work;
    seconds += l.seconds;
    if (l.operation == "attention") attentions += l.calls;
  }
  EXPECT_EQ(attentions, 2 * 4);  // layers, steps
  EXPECT_LE(seconds, report->seconds);
  // The operations together are the work that is counted from the tensors, but for gains and embedding rows.
  const auto model = ModelWork::of(engine->checkpoint(), engine->options().activations, engine->options().kv);
  ASSERT_TRUE(model.ok());
  Work counted;
  for (int64_t i = 0; i < what.tokens; ++i) counted += model->decode_step(2, what.depth + i);
  EXPECT_EQ(sum.f32, counted.f32);
  EXPECT_EQ(sum.bytes, counted.bytes - 4 * (4 * 5 * 64.0 + 2 * 2 * 64));
}

TEST(Rounding, MeasuresEveryEncodingOfARecipe) {
  Here here;
  SyntheticShape shape = kSmall;
  shape.width = 256;
  shape.feed_forward = 512;
  shape.head_dim = 64;
  const auto c = synthetic_llama(shape, encoding_bf16(), 1);
  const auto recipe = named_recipe("Q4_K_M");
  ASSERT_TRUE(c.ok() && recipe.ok());
  const LimitMeter meter(*kernel_table(available_isas().front()), 8 << 20);
  const auto rate = measure_rounding(here.context, meter, *c, *recipe, "nearest", 1);
  ASSERT_TRUE(rate.ok()) << rate.error().message;
  EXPECT_GT(rate->rate.median, 0);
  ASSERT_EQ(rate->encodings.size(), 2u);
  EXPECT_EQ(rate->encodings[0].first->name, "Q4_K");
  EXPECT_EQ(rate->encodings[1].first->name, "Q6_K");
  EXPECT_EQ(measure_rounding(here.context, meter, *c, *recipe, "other", 1).error().code, Code::usage);
}

}  // namespace
}  // namespace carat
