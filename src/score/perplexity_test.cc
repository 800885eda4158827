#include "score/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/testing/byte_tokenizer.h"
#include "model/testing/random_model.h"
#include "score/divergence.h"

namespace carat {
namespace {

using testing::RandomModel;

constexpr int64_t vocabulary = testing::byte_vocabulary;

double plain_log_sum_exp(const float* x) {
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(x[i]));
  return std::log(sum);
}

/// The definition: sum of p log(p / q).
double plain_divergence(const float* reference, const float* candidate) {
  const double p_sum = plain_log_sum_exp(reference), q_sum = plain_log_sum_exp(candidate);
  double kl = 0;
  for (int64_t i = 0; i < vocabulary; ++i) {
    const double log_p = reference[i] - p_sum, log_q = candidate[i] - q_sum;
    kl += std::exp(log_p) * (log_p - log_q);
  }
  return kl;
}

TEST(Divergence, AgreesWithItsDefinition) {
  Random random(9);
  for (const double distance : {1e-3, 0.1, 1.0, 5.0}) {
    std::vector<float> p(vocabulary), q(vocabulary);
    for (int64_t i = 0; i < vocabulary; ++i) {
      p[i] = static_cast<float>(4 * random.normal());
      q[i] = static_cast<float>(p[i] + distance * random.normal() + 3);
    }
    const KernelTable& kernels = **default_kernel_table();
    const LogSumExp p_sum = log_sum_exp(kernels, p.data(), vocabulary);
    const LogSumExp q_sum = log_sum_exp(kernels, q.data(), vocabulary);
    const double expected = plain_divergence(p.data(), q.data());
    EXPECT_NEAR(divergence(kernels, p.data(), p_sum, q.data(), q_sum, vocabulary), expected,
                1e-6 * expected + 2e-7);
    EXPECT_EQ(divergence(kernels, p.data(), p_sum, p.data(), p_sum, vocabulary), 0);
  }
}

class PerplexityTest : public ::testing::Test {
 protected:
  static RandomModel shape(const char* encoding) {
    RandomModel m;
    m.vocabulary = vocabulary;
    m.output_gain = 2;
    m.encoding = find_encoding(encoding);
    return m;
  }
  std::shared_ptr<Engine> load(const RandomModel& m, bool adds_bos = true) {
    Checkpoint c = testing::random_model(m);
    testing::add_byte_tokenizer(c, adds_bos);
    auto engine = Engine::load(context_, std::move(c), {});
    EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
    return *std::move(engine);
  }
  static std::string text(size_t bytes) {
    Random random(3);
    std::string s;
    while (s.size() < bytes) s.push_back(static_cast<char>('a' + random.next() % 26));
    return s;
  }
  PerplexityResult measure(Engine& candidate, Engine* reference, const std::string& t,
                           const PerplexityOptions& o) {
    auto r = measure_perplexity(context_, candidate, reference, t, o);
    EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().message);
    return r.ok() ? *r : PerplexityResult{};
  }
  /// Logits [context, vocabulary] of one chunk, from one append_scored call.
  std::vector<float> chunk_logits(Engine& engine, const std::vector<TokenId>& chunk,
                                  ActivationScheme scheme) {
    auto session = *engine.new_session(scheme);
    std::vector<float> all;
    EXPECT_TRUE(session
                    ->append_scored(context_, chunk, 0,
                                    [&](int64_t, int64_t count, const float* x) {
                                      all.insert(all.end(), x, x + count * vocabulary);
                                      return Status();
                                    })
                    .ok());
    return all;
  }
  Code refusal(Engine& candidate, Engine* reference, const std::string& t, const PerplexityOptions& o) {
    const auto r = measure_perplexity(context_, candidate, reference, t, o);
    EXPECT_FALSE(r.ok());
    return r.ok() ? Code::internal : r.error().code;
  }

  ThreadPool pool_{2};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
};

TEST_F(PerplexityTest, EveryFigureAgreesWithItsDefinition) {
  const auto candidate = load(shape("Q8_0")), reference = load(shape("BF16"));
  const std::string t = text(200);
  PerplexityOptions options;
  options.context = 32;
  options.floor = true;
  const PerplexityResult r = measure(*candidate, reference.get(), t, options);

  // 200 bytes and BOS: 201 tokens, 6 chunks of 32; predictions at positions 16 to 30 count.
  const std::vector<TokenId> tokens = *candidate->tokenizer()->encode(t, true, false);
  ASSERT_EQ(tokens.size(), 201u);
  EXPECT_EQ(r.chunks, 6);
  EXPECT_EQ(r.tokens, 6 * 15);
  std::vector<double> nll, reference_nll, kl, floor, delta_p, same;
  for (int64_t i = 0; i < 6; ++i) {
    std::vector<TokenId> chunk(tokens.begin() + 32 * i, tokens.begin() + 32 * (i + 1));
    const std::vector<TokenId> next(chunk.begin() + 1, chunk.end());
    chunk[0] = 1;
    const auto c = chunk_logits(*candidate, chunk, ActivationScheme::int8_block);
    const auto p = chunk_logits(*reference, chunk, ActivationScheme::int8_block);
    const auto f = chunk_logits(*reference, chunk, ActivationScheme::int8_32_everywhere);
    for (int64_t j = 16; j <= 30; ++j) {
      const float *cj = c.data() + j * vocabulary, *pj = p.data() + j * vocabulary;
      nll.push_back(plain_log_sum_exp(cj) - cj[next[j]]);
      reference_nll.push_back(plain_log_sum_exp(pj) - pj[next[j]]);
      kl.push_back(plain_divergence(pj, cj));
      floor.push_back(plain_divergence(pj, f.data() + j * vocabulary));
      delta_p.push_back(std::exp(-nll.back()) - std::exp(-reference_nll.back()));
      same.push_back(std::max_element(cj, cj + vocabulary) - cj ==
                     std::max_element(pj, pj + vocabulary) - pj);
    }
  }
  const auto near = [](const Estimate& actual, const std::vector<double>& values, double tolerance) {
    const Estimate expected = estimate(values);
    EXPECT_NEAR(actual.mean, expected.mean, tolerance);
    EXPECT_NEAR(actual.standard_error, expected.standard_error, tolerance);
  };
  near(r.score.nll, nll, 1e-6);
  EXPECT_NEAR(r.score.perplexity, std::exp(estimate(nll).mean), 1e-4);
  EXPECT_NEAR(r.score.perplexity_standard_error, r.score.perplexity * estimate(nll).standard_error, 1e-4);
  ASSERT_TRUE(r.comparison.has_value());
  near(r.comparison->reference.nll, reference_nll, 1e-6);
  near(r.comparison->kl.mean, kl, 1e-6);
  EXPECT_GT(r.comparison->kl.mean.mean, 1e-5);  // the two are not the same model
  EXPECT_NEAR(r.comparison->kl.p99, distribution(kl).p99, 1e-6);
  EXPECT_NEAR(r.comparison->kl.max, distribution(kl).max, 1e-6);
  near(r.comparison->delta_p, delta_p, 1e-6);
  near(r.comparison->same_top_p, same, 1e-12);
  ASSERT_TRUE(r.comparison->floor.has_value());
  near(r.comparison->floor->mean, floor, 1e-6);
  EXPECT_GT(r.comparison->floor->mean.mean, 1e-6);
  double squares = 0;
  for (double d : delta_p) squares += d * d;
  EXPECT_NEAR(r.comparison->delta_p_rms, std::sqrt(squares / 90), 1e-6);
  EXPECT_NEAR(r.comparison->log_ratio.mean, r.score.nll.mean - r.comparison->reference.nll.mean, 1e-9);
  EXPECT_NEAR(r.comparison->nll_correlation, correlation(nll, reference_nll), 1e-6);
}

TEST_F(PerplexityTest, AModelDoesNotDivergeFromItself) {
  const auto a = load(shape("Q8_0")), b = load(shape("Q8_0"));
  PerplexityOptions options;
  options.context = 40;
  for (Engine* reference : {a.get(), b.get()}) {
    const auto r = measure(*a, reference, text(300), options);
    EXPECT_EQ(r.comparison->kl.max, 0);
    EXPECT_EQ(r.comparison->delta_p_rms, 0);
    EXPECT_EQ(r.comparison->same_top_p.mean, 1);
    EXPECT_EQ(r.comparison->log_ratio.mean, 0);
  }
}

TEST_F(PerplexityTest, ThreadsDoNotMatter) {
  const auto candidate = load(shape("Q8_0")), reference = load(shape("BF16"));
  PerplexityOptions options;
  options.context = 64;
  const std::string t = text(400);
  const auto expected = measure(*candidate, reference.get(), t, options);
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const auto r =
        *measure_perplexity({pool, cancellation_, progress_}, *candidate, reference.get(), t, options);
    EXPECT_EQ(r.score.nll.mean, expected.score.nll.mean);
    EXPECT_EQ(r.score.nll.standard_error, expected.score.nll.standard_error);
    EXPECT_EQ(r.comparison->kl.mean.mean, expected.comparison->kl.mean.mean);
    EXPECT_EQ(r.comparison->kl.p99, expected.comparison->kl.p99);
  }
}

TEST_F(PerplexityTest, BeginsChunksWithBosOnlyWhereTheModelWantsIt) {
  const auto with = load(shape("F32"), true), without = load(shape("F32"), false);
  PerplexityOptions options;
  options.context = 32;
  options.chunks = 1;
  // One chunk: the same 32 tokens but for the first.
  const auto a = measure(*with, nullptr, text(64), options);
  const auto b = measure(*without, nullptr, text(64), options);
  EXPECT_NE(a.score.nll.mean, b.score.nll.mean);
  const auto tokens = *without->tokenizer()->encode(text(64), true, false);
  const auto x = chunk_logits(*without, {tokens.begin(), tokens.begin() + 32}, ActivationScheme::int8_32);
  std::vector<double> nll;
  for (int j = 16; j <= 30; ++j) {
    nll.push_back(plain_log_sum_exp(x.data() + j * vocabulary) - x[j * vocabulary + tokens[j + 1]]);
  }
  EXPECT_NEAR(b.score.nll.mean, estimate(nll).mean, 1e-6);
}

TEST_F(PerplexityTest, TakesAtMostTheChunksAskedFor) {
  const auto engine = load(shape("F32"));
  PerplexityOptions options;
  options.context = 32;
  EXPECT_EQ(measure(*engine, nullptr, text(31), options).chunks, 1);  // with BOS exactly one chunk
  options.chunks = 2;
  EXPECT_EQ(measure(*engine, nullptr, text(320), options).chunks, 2);
  options.chunks = 100;
  EXPECT_EQ(measure(*engine, nullptr, text(320), options).chunks, 10);
}

TEST_F(PerplexityTest, RefusesWhatItCannotMeasure) {
  const auto engine = load(shape("F32"));
  PerplexityOptions options;
  options.context = 32;
  EXPECT_EQ(refusal(*engine, nullptr, text(30), options), Code::usage);  // 31 tokens
  EXPECT_EQ(refusal(*engine, nullptr, "", options), Code::usage);
  options.floor = true;
  EXPECT_EQ(refusal(*engine, nullptr, text(300), options), Code::usage);
  options = {};  // 512, where the model has 256
  EXPECT_EQ(refusal(*engine, nullptr, text(2000), options), Code::usage);
  options.context = 3;
  EXPECT_EQ(refusal(*engine, nullptr, text(300), options), Code::usage);
  options.context = 32;
  options.chunks = 0;
  EXPECT_EQ(refusal(*engine, nullptr, text(300), options), Code::usage);
}

TEST_F(PerplexityTest, RefusesAReferenceWithAnotherVocabulary) {
  PerplexityOptions options;
  options.context = 32;
  const auto engine = load(shape("F32"));
  const auto other_bos = load(shape("F32"), false);
  EXPECT_EQ(refusal(*engine, other_bos.get(), text(300), options), Code::usage);

  Checkpoint renamed = testing::random_model(shape("F32"));
  testing::add_byte_tokenizer(renamed);
  std::vector<std::string> tokens = **renamed.metadata.strings_at("tokenizer.ggml.tokens");
  std::swap(tokens[3 + 'x'], tokens[3 + 'y']);
  renamed.metadata.set("tokenizer.ggml.tokens", Value::strings(tokens));
  const auto swapped = *Engine::load(context_, std::move(renamed), {});
  EXPECT_EQ(refusal(*engine, swapped.get(), text(300), options), Code::usage);
}

TEST_F(PerplexityTest, SaysWhenLogitsAreNotFinite) {
  RandomModel m = shape("F32");
  m.output_gain = 1e38f;
  const auto broken = load(m), whole = load(shape("F32"));
  PerplexityOptions options;
  options.context = 32;
  EXPECT_EQ(refusal(*broken, nullptr, text(64), options), Code::bad_data);
  EXPECT_EQ(refusal(*whole, broken.get(), text(64), options), Code::bad_data);
}

TEST_F(PerplexityTest, CanBeInterrupted) {
  const auto engine = load(shape("F32"));
  cancellation_.request();
  PerplexityOptions options;
  options.context = 32;
  EXPECT_EQ(refusal(*engine, nullptr, text(300), options), Code::interrupted);
}

}  // namespace
}  // namespace carat
