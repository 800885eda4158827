#include "score/likelihood.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/testing/byte_tokenizer.h"
#include "model/testing/random_model.h"

namespace carat {
namespace {

class LikelihoodTest : public ::testing::Test {
 protected:
  std::shared_ptr<Engine> load(int64_t positions = 0, KvEncoding kv = KvEncoding::f16,
                               bool adds_bos = false) {
    testing::RandomModel m;
    m.vocabulary = testing::byte_vocabulary;
    m.output_gain = 2;
    m.context = 900;
    Checkpoint c = testing::random_model(m);
    testing::add_byte_tokenizer(c, adds_bos);
    EngineOptions options;
    options.context = positions;
    options.kv = kv;
    auto engine = Engine::load(context_, std::move(c), options);
    EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
    return *std::move(engine);
  }
  static std::vector<TokenId> tokens(std::string_view text) {
    std::vector<TokenId> out;
    for (const char c : text) out.push_back(3 + static_cast<uint8_t>(c));
    return out;
  }
  /// What the tokenizer made these bytes of; it writes spaces as U+2581.
  static std::string text(const std::vector<TokenId>& ids) {
    std::string out;
    for (const TokenId id : ids) out.push_back(static_cast<char>(id - 3));
    for (size_t at; (at = out.find("\u2581")) != std::string::npos;) out.replace(at, 3, " ");
    return out;
  }
  /// Shared examples, questions with several answers that begin alike, single letters, one answer that begins
  /// another, equal requests, a beginning of another's context, requests that share nothing, long ones.
  static std::vector<LikelihoodRequest> some_requests() {
    Random random(11);
    const auto words = [&](size_t n) {
      std::string s;
      while (s.size() < n) s.push_back(static_cast<char>('a' + random.next() % 4));
      return s;
    };
    const std::string examples = words(150);
    std::vector<LikelihoodRequest> all;
    const auto ask = [&](const std::string& question, const std::string& answer) {
      all.push_back({tokens(question), tokens(answer)});
    };
    for (int item = 0; item < 20; ++item) {
      const std::string question = (item % 4 == 3 ? "" : examples) + words(5 + item * 3);
      for (const char* letter : {" A", " B", " C", " D"}) ask(question, letter);
      const std::string answer = words(12);
      for (int choice = 0; choice < 3; ++choice) ask(question, answer + words(1 + choice * 4));
      ask(question, answer);
    }
    ask(examples, " A");
    ask(examples.substr(0, 50), examples.substr(50, 20));
    ask("x", "y");
    ask("x", "y");
    ask("x", "yz");
    ask(words(3), words(700));
    ask(words(600), words(3));
    for (TokenId id = 0; id < testing::byte_vocabulary; ++id) all.push_back({tokens("Which?"), {id}});
    return all;
  }
  std::vector<Likelihood> score(Engine& engine, std::span<const LikelihoodRequest> requests) {
    std::vector<Likelihood> results(requests.size());
    const Status s = score_likelihoods(context_, engine, requests, results);
    EXPECT_TRUE(s.ok()) << (s.ok() ? "" : s.error().message);
    return results;
  }
  /// The definition, in double, from logits of a whole sequence.
  Likelihood plain(Engine& engine, const LikelihoodRequest& r) {
    std::vector<TokenId> all = r.context;
    all.insert(all.end(), r.continuation.begin(), r.continuation.end());
    Likelihood out{0, true, static_cast<int64_t>(r.continuation.size())};
    auto session = *engine.new_session();
    const Status s = session->append_scored(
        context_, std::span(all).first(all.size() - 1), static_cast<int64_t>(r.context.size()) - 1,
        [&](int64_t index, int64_t count, const float* logits) {
          for (int64_t row = 0; row < count; ++row, logits += testing::byte_vocabulary) {
            double sum = 0;
            for (int64_t i = 0; i < testing::byte_vocabulary; ++i) sum += std::exp(double{logits[i]});
            const TokenId next = all[index + row + 1];
            out.log_probability += logits[next] - std::log(sum);
            out.greedy &= std::max_element(logits, logits + testing::byte_vocabulary) == logits + next;
          }
          return Status();
        });
    EXPECT_TRUE(s.ok());
    return out;
  }

  ThreadPool pool_{2};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
};

TEST_F(LikelihoodTest, IsWhatItIsAloneAndAgreesWithItsDefinition) {
  for (const KvEncoding kv : {KvEncoding::f16, KvEncoding::q8_0}) {
    const auto engine = load(0, kv);
    const auto requests = some_requests();
    const auto together = score(*engine, requests);
    int greedy = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      const Likelihood alone = score(*engine, {&requests[i], 1})[0], expected = plain(*engine, requests[i]);
      EXPECT_EQ(together[i].log_probability, alone.log_probability) << i;
      EXPECT_EQ(together[i].greedy, alone.greedy) << i;
      EXPECT_NEAR(alone.log_probability, expected.log_probability,
                  1e-6 * static_cast<double>(expected.tokens));
      EXPECT_EQ(alone.greedy, expected.greedy) << i;
      EXPECT_EQ(together[i].tokens, expected.tokens) << i;
      greedy += expected.greedy;
    }
    EXPECT_GT(greedy, 0) << "one of all tokens must be the likeliest";
    // Another order, another company.
    std::vector<LikelihoodRequest> some(requests.rbegin(), requests.rbegin() + 40);
    const auto others = score(*engine, some);
    for (size_t i = 0; i < some.size(); ++i)
      EXPECT_EQ(others[i].log_probability, together[requests.size() - 1 - i].log_probability) << i;
  }
}

TEST_F(LikelihoodTest, RefusesWhatDoesNotFit) {
  const auto engine = load(20);
  const auto refused = [&](const LikelihoodRequest& bad) {
    const std::vector<LikelihoodRequest> requests = {{{5}, {6}}, bad};
    std::vector<Likelihood> results(2);
    const Status s = score_likelihoods(context_, *engine, requests, results);
    EXPECT_FALSE(s.ok());
    EXPECT_EQ(s.ok() ? Code::internal : s.error().code, Code::usage);
    return s.ok() ? "" : s.error().message;
  };
  EXPECT_NE(refused({{}, {5}}).find("request 1 has no context"), std::string::npos);
  EXPECT_NE(refused({{5}, {}}).find("request 1 has no continuation"), std::string::npos);
  EXPECT_NE(refused({{5}, {300}}).find("token 300 is outside"), std::string::npos);
  EXPECT_NE(refused({{-1}, {5}}).find("token -1 is outside"), std::string::npos);
  EXPECT_NE(refused({tokens("0123456789"), tokens("0123456789ab")}).find("takes 21 tokens"),
            std::string::npos);
}

TEST_F(LikelihoodTest, TheLastTokenNeedsNoRoom) {
  const auto engine = load(20);
  const LikelihoodRequest full{tokens("0123456789"), tokens("0123456789a")};
  EXPECT_EQ(score(*engine, {&full, 1})[0].tokens, 11);
  EXPECT_TRUE(score(*engine, {}).empty());
}

TEST_F(LikelihoodTest, IsCancelled) {
  const auto engine = load();
  const auto requests = some_requests();
  std::vector<Likelihood> results(requests.size());
  cancellation_.request();
  const Status s = score_likelihoods(context_, *engine, requests, results);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.error().code, Code::interrupted);
}

TEST_F(LikelihoodTest, LogitsThatAreNotFiniteAreTheModelsFault) {
  testing::RandomModel m;
  m.vocabulary = testing::byte_vocabulary;
  m.output_gain = std::numeric_limits<float>::infinity();
  Checkpoint c = testing::random_model(m);
  c.source = "broken.gguf";
  const auto engine = *Engine::load(context_, std::move(c), {});
  const std::vector<LikelihoodRequest> requests = {{{5}, {6}}};
  std::vector<Likelihood> results(1);
  const Status s = score_likelihoods(context_, *engine, requests, results);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.error().code, Code::bad_data);
  EXPECT_NE(s.error().message.find("broken.gguf"), std::string::npos);
}

TEST_F(LikelihoodTest, DividesTextsAsLmEvaluationHarnessDoes) {
  const auto plain_engine = load(), with_bos = load(0, KvEncoding::f16, true);
  const auto divided = [&](const Engine& e, std::string_view context, std::string_view continuation) {
    const auto r = encode_request(e, context, continuation);
    EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().message);
    return r.ok() ? *r : LikelihoodRequest{};
  };
  LikelihoodRequest r = divided(*plain_engine, "The sky is", " blue");
  EXPECT_EQ(text(r.context), "The sky is");
  EXPECT_EQ(text(r.continuation), " blue");
  r = divided(*plain_engine, "Answer: \n\t", "blue");
  EXPECT_EQ(text(r.context), "Answer:");
  EXPECT_EQ(text(r.continuation), " \n\tblue");
  r = divided(*plain_engine, "wide\u00a0\u3000\u2009", "x");
  EXPECT_EQ(text(r.context), "wide");
  EXPECT_EQ(text(r.continuation), "\u00a0\u3000\u2009x");
  r = divided(*plain_engine, "caf\u00e9", "x");
  EXPECT_EQ(text(r.context), "caf\u00e9");
  // BOS is what a text without a beginning is predicted from; it comes before others where the model wants
  // it.
  for (const std::string_view nothing : {"", "  "}) {
    r = divided(*plain_engine, nothing, "x");
    EXPECT_EQ(r.context, std::vector<TokenId>{1});
    EXPECT_EQ(text(r.continuation), std::string(nothing) + "x");
  }
  EXPECT_EQ(divided(*with_bos, "", "x").context, std::vector<TokenId>{1});
  EXPECT_EQ(divided(*with_bos, "a", "x").context, (std::vector<TokenId>{1, 3 + 'a'}));
  EXPECT_EQ(encode_request(*plain_engine, "The sky", "").error().code, Code::usage);

  testing::RandomModel m;
  const auto mute = *Engine::load(context_, testing::random_model(m), {});
  EXPECT_EQ(encode_request(*mute, "a", "b").error().code, Code::bad_data);
}

}  // namespace
}  // namespace carat
