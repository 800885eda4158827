#include "score/text_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/testing/byte_tokenizer.h"
#include "model/testing/random_model.h"

namespace carat {
namespace {

constexpr int64_t vocabulary = testing::byte_vocabulary;

class TextLossTest : public ::testing::Test {
 protected:
  std::shared_ptr<Engine> load(const char* encoding, int64_t positions = 0, uint64_t seed = 1) {
    testing::RandomModel m;
    m.vocabulary = vocabulary;
    m.output_gain = 2;
    m.context = 3000;
    m.encoding = find_encoding(encoding);
    m.seed = seed;
    Checkpoint c = testing::random_model(m);
    testing::add_byte_tokenizer(c);
    EngineOptions options;
    options.context = positions;
    auto engine = Engine::load(context_, std::move(c), options);
    EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
    return *std::move(engine);
  }
  static std::string text(size_t bytes, uint64_t seed) {
    Random random(seed);
    std::string s;
    while (s.size() < bytes) s.push_back(static_cast<char>('a' + random.next() % 26));
    return s;
  }
  std::vector<TextLoss> score(Engine& candidate, Engine* reference, const std::vector<std::string>& texts,
                              int64_t size = 0) {
    std::vector<TextLoss> results(texts.size());
    const Status s = score_texts(context_, candidate, reference, texts, {size}, results);
    EXPECT_TRUE(s.ok()) << (s.ok() ? "" : s.error().message);
    return results;
  }
  std::vector<std::vector<double>> log_probabilities(Engine& engine, std::span<const TokenId> input) {
    auto session = *engine.new_session();
    std::vector<std::vector<double>> rows;
    EXPECT_TRUE(session
                    ->append_scored(context_, input, 0,
                                    [&](int64_t, int64_t count, const float* x) {
                                      for (; count > 0; --count, x += vocabulary) {
                                        double sum = 0;
                                        for (int64_t i = 0; i < vocabulary; ++i)
                                          sum += std::exp(double{x[i]});
                                        rows.emplace_back();
                                        for (int64_t i = 0; i < vocabulary; ++i)
                                          rows.back().push_back(x[i] - std::log(sum));
                                      }
                                      return Status();
                                    })
                    .ok());
    return rows;
  }
  /// lm-evaluation-harness's windows as its get_rolling_token_windows() and make_disjoint_window() define
  /// them: pairs of what is read and what is predicted.
  static std::vector<std::pair<std::vector<TokenId>, std::vector<TokenId>>> windows(
      const std::vector<TokenId>& t, size_t size) {
    std::vector<std::pair<std::vector<TokenId>, std::vector<TokenId>>> out;
    if (t.empty()) return out;
    size_t predicted = std::min(size, t.size());
    std::vector<TokenId> input = {1};
    input.insert(input.end(), t.begin(), t.begin() + static_cast<int64_t>(predicted) - 1);
    out.push_back({input, {t.begin(), t.begin() + static_cast<int64_t>(predicted)}});
    while (predicted < t.size()) {
      const size_t count = std::min(t.size() - predicted, size), end = predicted + count;
      const auto at = [&](size_t i) { return t.begin() + static_cast<int64_t>(i); };
      out.push_back({{at(end - size - 1), at(end - 1)}, {at(end - count), at(end)}});
      predicted += count;
    }
    return out;
  }
  TextLoss plain(Engine& candidate, Engine& reference, const std::string& t, size_t size) {
    TextLoss out;
    for (const auto& [input, next] : windows(*candidate.tokenizer()->encode(t, false, false), size)) {
      const auto q = log_probabilities(candidate, input), p = log_probabilities(reference, input);
      for (size_t i = 0; i < next.size(); ++i) {
        const auto &pi = p[input.size() - next.size() + i], &qi = q[input.size() - next.size() + i];
        ++out.tokens;
        out.nll -= qi[next[i]];
        out.reference_nll -= pi[next[i]];
        for (size_t j = 0; j < pi.size(); ++j) out.kl += std::exp(pi[j]) * (pi[j] - qi[j]);
        out.same_top +=
            std::ranges::max_element(pi) - pi.begin() == std::ranges::max_element(qi) - qi.begin();
      }
    }
    return out;
  }

  ThreadPool pool_{2};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
};

TEST_F(TextLossTest, AgreesWithItsDefinitionAndIsWhatItIsAlone) {
  const auto candidate = load("Q8_0"), reference = load("BF16", 0, 2);
  std::vector<std::string> texts;
  for (const size_t bytes : {1, 10, 0, 31, 32, 33, 64, 65, 90, 200}) texts.push_back(text(bytes, bytes));
  const auto together = score(*candidate, reference.get(), texts, 32);
  const auto without = score(*candidate, nullptr, texts, 32);
  for (size_t i = 0; i < texts.size(); ++i) {
    const TextLoss r = together[i], expected = plain(*candidate, *reference, texts[i], 32);
    EXPECT_EQ(r.tokens, static_cast<int64_t>(texts[i].size()));
    const double n = static_cast<double>(r.tokens);
    EXPECT_NEAR(r.nll, expected.nll, 1e-6 * n);
    EXPECT_NEAR(r.reference_nll, expected.reference_nll, 1e-6 * n);
    EXPECT_NEAR(r.kl, expected.kl, 1e-5 * expected.kl);
    EXPECT_EQ(r.same_top, expected.same_top);
    const TextLoss alone = score(*candidate, reference.get(), {texts[i]}, 32)[0];
    EXPECT_EQ(r.nll, alone.nll);
    EXPECT_EQ(r.kl, alone.kl);
    EXPECT_EQ(without[i].nll, r.nll);
    EXPECT_EQ(without[i].kl, 0);
  }
}

TEST_F(TextLossTest, ManyTextsInSeveralPasses) {
  const auto candidate = load("Q8_0"), reference = load("BF16");
  std::vector<std::string> texts;
  for (size_t i = 0; i < 60; ++i) texts.push_back(text(i * 37 % 400, i));
  texts.push_back(text(2500, 99));
  const auto together = score(*candidate, reference.get(), texts);
  for (const size_t i : {0, 1, 30, 59, 60})
    EXPECT_EQ(together[i].kl, score(*candidate, reference.get(), {texts[i]})[0].kl) << i;
}

TEST_F(TextLossTest, AModelIsNotFarFromItself) {
  const auto a = load("Q8_0"), b = load("Q8_0");
  const TextLoss r = score(*a, b.get(), {text(100, 1)})[0];
  EXPECT_EQ(r.kl, 0);
  EXPECT_EQ(r.nll, r.reference_nll);
  EXPECT_EQ(r.same_top, r.tokens);
}

TEST_F(TextLossTest, WindowsAreAsLongAsTheSmallerContext) {
  const auto candidate = load("Q8_0", 50), reference = load("BF16", 40);
  const std::string t = text(120, 4);
  EXPECT_EQ(score(*candidate, reference.get(), {t})[0].nll,
            score(*candidate, reference.get(), {t}, 40)[0].nll);
  const auto refused = [&](int64_t size) {
    std::vector<TextLoss> results(1);
    const Status s = score_texts(context_, *candidate, reference.get(), {{t}}, {size}, results);
    EXPECT_FALSE(s.ok());
    return s.ok() ? Code::internal : s.error().code;
  };
  EXPECT_EQ(refused(41), Code::usage);
  EXPECT_EQ(refused(-1), Code::usage);
}

TEST_F(TextLossTest, RefusesOtherVocabulariesAndBrokenModelsAndIsCancelled) {
  const auto candidate = load("Q8_0");
  std::vector<TextLoss> results(1);
  const std::vector<std::string> texts = {"text"};
  testing::RandomModel m;
  const auto other = *Engine::load(context_, testing::random_model(m), {});
  EXPECT_EQ(score_texts(context_, *candidate, other.get(), texts, {}, results).error().code, Code::usage);
  EXPECT_EQ(score_texts(context_, *other, nullptr, texts, {}, results).error().code, Code::bad_data);

  m.vocabulary = vocabulary;
  m.output_gain = std::numeric_limits<float>::infinity();
  Checkpoint c = testing::random_model(m);
  testing::add_byte_tokenizer(c);
  c.source = "broken.gguf";
  const auto broken = *Engine::load(context_, std::move(c), {});
  for (const bool as_reference : {false, true}) {
    const Status s = score_texts(context_, as_reference ? *candidate : *broken,
                                 as_reference ? broken.get() : nullptr, texts, {}, results);
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().code, Code::bad_data);
    EXPECT_NE(s.error().message.find("broken.gguf: document 0"), std::string::npos) << s.error().message;
  }
  cancellation_.request();
  EXPECT_EQ(score_texts(context_, *candidate, nullptr, texts, {}, results).error().code, Code::interrupted);
}

}  // namespace
}  // namespace carat
