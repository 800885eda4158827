#include "engine/generate_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "engine/testing/byte_tokenizer.h"
#include "model/testing/random_model.h"

namespace carat {
namespace {

class GenerateBatchTest : public ::testing::Test {
 protected:
  std::shared_ptr<Engine> load(int64_t positions = 0, KvEncoding kv = KvEncoding::f16) {
    testing::RandomModel m;
    m.vocabulary = testing::byte_vocabulary;
    m.output_gain = 3;
    Checkpoint c = testing::random_model(m);
    testing::add_byte_tokenizer(c);
    EngineOptions options;
    options.context = positions;
    options.kv = kv;
    auto engine = Engine::load(context_, std::move(c), options);
    EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
    return *std::move(engine);
  }
  static std::vector<TokenId> prompt(std::string_view text) {
    std::vector<TokenId> tokens = {1};
    for (const char c : text) tokens.push_back(3 + static_cast<uint8_t>(c));
    return tokens;
  }
  /// Requests of every kind: shared beginnings, equal prompts with other seeds, one prompt that begins
  /// another, greedy and sampled, different limits, stop texts.
  static std::vector<GenerateRequest> some_requests() {
    const std::string system = "You are a helpful assistant. ";
    std::vector<GenerateRequest> all;
    for (const std::string& text :
         {system + "Add 1 and 2.", system + "Add 2 and 3.", system + "Name a colour.", system,
          std::string("Something else"), std::string("x"), system + "Name a colour. Now!"}) {
      for (const float temperature : {0.0f, 0.8f, 0.8f}) {
        GenerateRequest r;
        r.prompt = prompt(text);
        r.options.sampler.temperature = temperature;
        r.options.sampler.seed = all.size();
        r.options.sampler.repetition_penalty = all.size() % 2 ? 1.2f : 1.0f;
        r.options.max_tokens = static_cast<int64_t>(all.size() * 7 % 23);
        if (all.size() % 3 == 1) r.options.stop = {"a", "e", "qu"};
        all.push_back(std::move(r));
      }
    }
    return all;
  }
  std::vector<Generation> batch(Engine& engine, const std::vector<GenerateRequest>& requests,
                                const GenerateBatchOptions& options) {
    std::vector<std::optional<Generation>> done(requests.size());
    const Status status = generate_batch(context_, engine, requests, options, [&](size_t i, Generation&& g) {
      EXPECT_FALSE(done[i].has_value()) << i;
      done[i] = std::move(g);
      return Status();
    });
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    std::vector<Generation> out;
    for (auto& g : done) out.push_back(g ? *std::move(g) : Generation{});
    return out;
  }

  ThreadPool pool_{2};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
};

TEST_F(GenerateBatchTest, EachHasTheTokensItWouldHaveAlone) {
  const auto requests = some_requests();
  for (const KvEncoding kv : {KvEncoding::f16, KvEncoding::q8_0}) {
    const auto engine = load(60, kv);
    std::vector<Generation> alone;
    for (const GenerateRequest& r : requests) {
      auto session = *engine->new_session();
      alone.push_back(*generate(context_, *engine, *session, {}, r.prompt, r.options,
                                [](std::string_view) { return true; }));
    }
    for (const int64_t sequences : {1, 2, 5, 100}) {
      GenerateBatchOptions options;
      options.max_sequences = sequences;
      const auto together = batch(*engine, requests, options);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(together[i].tokens, alone[i].tokens) << i << " of " << sequences;
        EXPECT_EQ(together[i].text, alone[i].text) << i;
        EXPECT_EQ(together[i].reason, alone[i].reason) << i;
        EXPECT_EQ(together[i].prompt_tokens, alone[i].prompt_tokens) << i;
      }
    }
  }
}

TEST_F(GenerateBatchTest, RefusesBeforeItComputes) {
  const auto engine = load(20);
  const auto refusal = [&](const std::vector<GenerateRequest>& requests) {
    const Status s = generate_batch(context_, *engine, requests, {}, [](size_t, Generation&&) {
      ADD_FAILURE() << "something was computed";
      return Status();
    });
    EXPECT_FALSE(s.ok());
    return s.ok() ? std::string() : s.error().message;
  };
  GenerateRequest good;
  good.prompt = prompt("Hi");
  GenerateRequest bad = good;
  bad.prompt.clear();
  EXPECT_NE(refusal({good, bad}).find("request 1 has no prompt"), std::string::npos);
  bad.prompt = prompt("This is too long for it");
  EXPECT_NE(refusal({good, good, bad}).find("request 2: the prompt has 24 tokens"), std::string::npos);
  bad = good;
  bad.prompt[1] = 300;
  EXPECT_NE(refusal({bad}).find("token 300 is outside"), std::string::npos);
  bad = good;
  bad.options.sampler.top_p = 2;
  EXPECT_NE(refusal({bad}).find("request 0: top-p"), std::string::npos);
  EXPECT_TRUE(generate_batch(context_, *engine, {}, {}, [](size_t, Generation&&) { return Status(); }).ok());
}

TEST_F(GenerateBatchTest, ErrorsOfTheSinkAndCancellationEndIt) {
  const auto engine = load();
  const auto requests = some_requests();
  const Status full = generate_batch(context_, *engine, requests, {}, [](size_t, Generation&&) {
    return Status(error(Code::io, "the disk is full"));
  });
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, Code::io);
  size_t finished = 0;
  const Status cancelled = generate_batch(context_, *engine, requests, {}, [&](size_t, Generation&&) {
    if (++finished == 3) cancellation_.request();
    return Status();
  });
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, Code::interrupted);
  EXPECT_LT(finished, requests.size());
}

}  // namespace
}  // namespace carat
