#include "engine/engine.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "model/testing/random_model.h"
#include "model/testing/reference_forward.h"

namespace carat {
namespace {

using testing::RandomModel;

class EngineTest : public ::testing::Test {
 protected:
  std::shared_ptr<Engine> load(const RandomModel& m, EngineOptions options = {}) {
    auto engine = Engine::load(context_, testing::random_model(m), options);
    EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
    return *std::move(engine);
  }
  static std::vector<TokenId> tokens(int64_t n) {
    Random random(7);
    std::vector<TokenId> out(n);
    for (TokenId& t : out) t = static_cast<TokenId>(random.next() % 100);
    return out;
  }
  /// Logits of all tokens through append_scored.
  std::vector<float> scored(Session& s, std::span<const TokenId> t, int64_t first) {
    std::vector<float> all;
    int64_t expected = first;
    const Status status =
        s.append_scored(context_, t, first, [&](int64_t index, int64_t count, const float* logits) {
          EXPECT_EQ(index, expected);
          expected += count;
          all.insert(all.end(), logits, logits + count * 100);
          return Status();
        });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(expected, static_cast<int64_t>(t.size()));
    return all;
  }

  ThreadPool pool_{2};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
};

TEST_F(EngineTest, AgreesWithTheDefinitionInDouble) {
  for (const RandomModel& m : testing::model_variants()) {
    EngineOptions options;
    options.activations = ActivationScheme::float32;
    const auto engine = load(m, options);
    EXPECT_EQ(engine->activation_scheme(), "float32");
    auto session = *engine->new_session();
    const auto t = tokens(60);
    const auto expected = testing::ReferenceForward(engine->checkpoint()).logits(t);
    const auto actual = *session->append(context_, t);
    for (int i = 0; i < 100; ++i) EXPECT_NEAR(actual[i], expected.back()[i], 1e-2) << m.architecture;
  }
}

TEST_F(EngineTest, EveryWayOfAppendingGivesTheSameBits) {
  RandomModel m;
  m.context = 1400;  // more than two chunks of the forward pass
  m.layers = 1;
  const auto engine = load(m);
  const auto t = tokens(1300);
  auto whole = *engine->new_session();
  const auto all = scored(*whole, t, 0);
  ASSERT_EQ(all.size(), 1300u * 100);
  EXPECT_EQ(whole->position(), 1300);

  auto half = *engine->new_session();
  EXPECT_EQ(scored(*half, t, 700), std::vector<float>(all.begin() + 700 * 100, all.end()));

  auto pieces = *engine->new_session();
  for (int64_t first = 0; first < 1300; first += 130) {
    const auto logits = *pieces->append(context_, std::span(t).subspan(first, 130));
    EXPECT_TRUE(std::equal(logits.begin(), logits.end(), all.begin() + (first + 129) * 100)) << first;
  }

  auto kept = *engine->new_session();
  ASSERT_TRUE(kept->append_kept(context_, t, 600).ok());
  std::vector<float> rows(5 * 100);
  ASSERT_TRUE(kept->kept_logits(context_, 10, 5, rows.data()).ok());
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), all.begin() + 610 * 100));
  EXPECT_FALSE(kept->kept_logits(context_, 699, 2, rows.data()).ok());

  ThreadPool one(1);
  auto alone = *engine->new_session();
  const auto logits = *alone->append({one, cancellation_, progress_}, t);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), all.end() - 100));
}

TEST_F(EngineTest, AContextWithoutMemoryLeavesTheSessionAsItWas) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need far more address space than they use";
#endif
  EngineOptions options;
  options.context = 1 << 24;
  const auto engine = load({}, options);
  const auto t = tokens(30), many = tokens(1 << 22);
  ASSERT_GT(engine->kv_bytes(std::ssize(many)), int64_t{600} << 20);
  auto session = *engine->new_session(), undisturbed = *engine->new_session();
  ASSERT_TRUE(session->append(context_, std::span(t).first(20)).ok());

  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit tight = before;  // room for some layers' keys and values and not for all
  tight.rlim_cur = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) +
                   static_cast<uint64_t>(engine->kv_bytes(std::ssize(many))) / 4 * 3;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  const auto refused = session->append(context_, many);
  setrlimit(RLIMIT_AS, &before);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::usage);
  EXPECT_NE(refused.error().message.find("no memory for the keys and values"), std::string::npos);

  EXPECT_EQ(session->position(), 20);
  const auto logits = *session->append(context_, std::span(t).subspan(20));
  const auto expected = *undisturbed->append(context_, t);
  EXPECT_TRUE(std::ranges::equal(logits, expected));
}

TEST_F(EngineTest, TruncateForgets) {
  const auto engine = load({});
  const auto t = tokens(50);
  auto session = *engine->new_session();
  const auto once = *session->append(context_, t);
  const std::vector<float> expected(once.begin(), once.end());
  session->truncate(20);
  EXPECT_EQ(session->position(), 20);
  ASSERT_TRUE(session->append(context_, tokens(7)).ok());  // other tokens, then forgotten again
  session->truncate(20);
  const auto again = *session->append(context_, std::span(t).subspan(20));
  EXPECT_EQ(std::vector<float>(again.begin(), again.end()), expected);
  session->truncate(1000);
  EXPECT_EQ(session->position(), 50);
}

TEST_F(EngineTest, SessionsDoNotDisturbOneAnother) {
  const auto engine = load({});
  const auto t = tokens(40);
  auto a = *engine->new_session();
  auto b = *engine->new_session(ActivationScheme::float32);
  const auto expected = scored(*a, t, 0);
  a->truncate(0);
  std::vector<float> interleaved;
  for (const TokenId id : t) {
    const auto logits = *a->append(context_, {&id, 1});
    const std::vector<float> copy(logits.begin(), logits.end());
    ASSERT_TRUE(b->append(context_, t).ok() || b->position() > 0);
    b->truncate(3);
    interleaved.insert(interleaved.end(), copy.begin(), copy.end());
  }
  EXPECT_EQ(interleaved, expected);
}

TEST_F(EngineTest, RefusesWhatDoesNotFitAndStaysAsItWas) {
  EngineOptions options;
  options.context = 30;
  const auto engine = load({}, options);
  EXPECT_EQ(engine->context_length(), 30);
  auto session = *engine->new_session();
  ASSERT_TRUE(session->append(context_, tokens(20)).ok());
  const auto refused = [&](const std::vector<TokenId>& t) {
    const auto result = session->append(context_, t);
    EXPECT_EQ(session->position(), 20);
    return !result.ok() && result.error().code == Code::usage;
  };
  EXPECT_TRUE(refused(tokens(11)));
  EXPECT_TRUE(refused({5, 100}));
  EXPECT_TRUE(refused({-1}));
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(session->append(context_, tokens(10)).ok());
  EXPECT_TRUE(session->append_kept(context_, {}, 0).ok());

  options.context = 257;  // the model was made for 256
  const auto engine_257 = Engine::load(context_, testing::random_model({}), options);
  ASSERT_TRUE(engine_257.ok());
  auto long_session = *(*engine_257)->new_session();
  EXPECT_FALSE(long_session->append(context_, tokens(258)).ok());
  EXPECT_TRUE(long_session->append(context_, tokens(257)).ok());

  options.context = -1;
  const auto refused_engine = Engine::load(context_, testing::random_model({}), options);
  ASSERT_FALSE(refused_engine.ok());
  EXPECT_EQ(refused_engine.error().code, Code::usage);
}

TEST_F(EngineTest, AStepHasTheBitsOfSingleAppends) {
  for (RandomModel m : testing::model_variants()) {
    m.encoding = find_encoding("Q8_0");
    m.context = 600;
    const auto engine = load(m);
    // Positions around the beginning, a chunk of attention, and growth of the cache; sessions join and leave.
    std::vector<std::unique_ptr<Session>> stepped, alone;
    for (const int64_t before : {0, 1, 63, 255, 256, 500, 7, 7}) {
      stepped.push_back(*engine->new_session());
      alone.push_back(*engine->new_session());
      if (before == 0) continue;
      ASSERT_TRUE(stepped.back()->append(context_, tokens(before)).ok());
      ASSERT_TRUE(alone.back()->append(context_, tokens(before)).ok());
    }
    for (int64_t step = 0; step < 6; ++step) {
      const size_t first = step == 3 ? 2 : 0, n = step == 4 ? 1 : stepped.size() - first;
      std::vector<Session*> sessions;
      std::vector<TokenId> next;
      for (size_t i = first; i < first + n; ++i) {
        sessions.push_back(stepped[i].get());
        next.push_back(static_cast<TokenId>((17 * i + 31 * step) % 100));
      }
      const auto logits = engine->step(context_, sessions, next);
      ASSERT_TRUE(logits.ok()) << logits.error().message;
      ASSERT_EQ(logits->size(), n * 100);
      for (size_t i = 0; i < n; ++i) {
        const auto expected = *alone[first + i]->append(context_, {&next[i], 1});
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), logits->begin() + i * 100))
            << m.architecture << ", step " << step << ", session " << first + i;
        EXPECT_EQ(sessions[i]->position(), alone[first + i]->position());
      }
    }
    // A session goes on alone as well.
    const auto a = *stepped[2]->append(context_, tokens(3)), b = *alone[2]->append(context_, tokens(3));
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
  }
}

TEST_F(EngineTest, AStepOfMoreSessionsThanOneForwardCallTakes) {
  RandomModel m;
  m.layers = 1;
  m.context = 4;
  const auto engine = load(m);
  const auto t = tokens(600);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Session*> all;
  for (size_t i = 0; i < t.size(); ++i) {
    sessions.push_back(*engine->new_session());
    all.push_back(sessions.back().get());
  }
  const auto logits = *engine->step(context_, all, t);
  auto alone = *engine->new_session();
  for (const size_t i : {0, 511, 512, 599}) {
    alone->truncate(0);
    const auto expected = *alone->append(context_, {&t[i], 1});
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), logits.begin() + i * 100)) << i;
  }
}

TEST_F(EngineTest, ARefusedStepLeavesAllSessionsAsTheyWere) {
  EngineOptions options;
  options.context = 20;
  const auto engine = load({}, options), other = load({}, options);
  auto a = *engine->new_session(), b = *engine->new_session(), full = *engine->new_session();
  auto exact = *engine->new_session(ActivationScheme::float32), foreign = *other->new_session();
  for (Session* s : {a.get(), b.get(), exact.get(), foreign.get()})
    ASSERT_TRUE(s->append(context_, tokens(10)).ok());
  ASSERT_TRUE(full->append(context_, tokens(20)).ok());
  const auto refused = [&](const std::vector<Session*>& sessions, const std::vector<TokenId>& t,
                           std::string_view reason) {
    const auto result = engine->step(context_, sessions, t);
    ASSERT_FALSE(result.ok()) << reason;
    EXPECT_EQ(result.error().code, Code::usage) << reason;
    EXPECT_NE(result.error().message.find(reason), std::string::npos) << result.error().message;
    for (const Session* s : {a.get(), b.get(), exact.get(), foreign.get()}) EXPECT_EQ(s->position(), 10);
    EXPECT_EQ(full->position(), 20);
  };
  refused({}, {}, "one token for each");
  refused({a.get(), b.get()}, {1}, "one token for each");
  refused({a.get(), b.get(), a.get()}, {1, 2, 3}, "only once");
  refused({a.get(), full.get()}, {1, 2}, "session 1: 1 token more do not fit");
  refused({a.get(), b.get()}, {1, 100}, "session 1: token 100 is outside");
  refused({a.get(), exact.get()}, {1, 2}, "one activation scheme, not int8_block and float32");
  refused({a.get(), foreign.get()}, {1, 2}, "session 1 is not of this engine");
  refused({nullptr}, {1}, "session 0 is not of this engine");

  // Logits kept before are of a session that is not there any more.
  ASSERT_TRUE(a->append_kept(context_, tokens(2), 0).ok());
  const auto stepped = engine->step(context_, std::vector<Session*>{a.get(), b.get()}, tokens(2));
  ASSERT_TRUE(stepped.ok());
  std::vector<float> row(100);
  EXPECT_FALSE(a->kept_logits(context_, 1, 1, row.data()).ok());

  cancellation_.request();
  const auto cancelled = engine->step(context_, std::vector<Session*>{a.get(), b.get()}, tokens(2));
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, Code::interrupted);
  EXPECT_EQ(a->position(), 13);
  EXPECT_EQ(b->position(), 11);
}

TEST_F(EngineTest, AppendingToManyHasTheBitsOfAppendingToEach) {
  for (const KvEncoding kv : {KvEncoding::f16, KvEncoding::q8_0}) {
    for (RandomModel m : testing::model_variants()) {
      m.encoding = find_encoding("Q8_0");
      m.context = 1200;
      EngineOptions options;
      options.kv = kv;
      const auto engine = load(m, options);
      // Some together fill more than one forward pass, one alone does; one gets nothing; several rows or none
      // are kept.
      const std::vector<int64_t> before = {0, 3, 200, 0, 65, 5, 0};
      const std::vector<int64_t> appended = {40, 1, 300, 620, 0, 100, 64};
      const std::vector<int64_t> kept = {40, 1, 7, 600, 0, 0, 64};
      std::vector<std::unique_ptr<Session>> together;
      std::vector<SessionTokens> parts;
      std::vector<KeptRows> rows;
      std::vector<float> expected;
      const auto t = tokens(1200);
      for (size_t i = 0; i < before.size(); ++i) {
        const auto first = std::span(t).subspan(i, before[i]);
        const auto then = std::span(t).subspan(100 + i, appended[i]);
        together.push_back(*engine->new_session());
        ASSERT_TRUE(together[i]->append_kept(context_, first, before[i]).ok());
        parts.push_back({together[i].get(), then, kept[i]});
        rows.push_back({together[i].get(), 0, kept[i]});
        auto alone = *engine->new_session();
        ASSERT_TRUE(alone->append_kept(context_, first, before[i]).ok());
        const auto logits = scored(*alone, then, appended[i] - kept[i]);
        expected.insert(expected.end(), logits.begin(), logits.end());
      }
      const Status done = engine->append(context_, parts);
      ASSERT_TRUE(done.ok()) << done.error().message;
      std::vector<float> logits(expected.size());
      ASSERT_TRUE(engine->kept_logits(context_, rows, logits.data()).ok());
      EXPECT_EQ(logits, expected) << m.architecture;
      for (size_t i = 0; i < before.size(); ++i)
        EXPECT_EQ(together[i]->position(), before[i] + appended[i]) << i;

      // Rows in another order, some of them, a session twice.
      const std::vector<KeptRows> some = {
          {together[3].get(), 590, 2}, {together[0].get(), 5, 1}, {together[3].get(), 0, 1}};
      std::vector<float> picked(4 * 100);
      ASSERT_TRUE(engine->kept_logits(context_, some, picked.data()).ok());
      const auto row_of = [&](int64_t row) { return expected.begin() + row * 100; };
      EXPECT_TRUE(std::equal(row_of(40 + 1 + 7 + 590), row_of(40 + 1 + 7 + 592), picked.begin()));
      EXPECT_TRUE(std::equal(row_of(5), row_of(6), picked.begin() + 200));
      EXPECT_TRUE(std::equal(row_of(48), row_of(49), picked.begin() + 300));
    }
  }
}

TEST_F(EngineTest, ARefusedAppendLeavesAllSessionsAsTheyWere) {
  const auto engine = load({});
  auto a = *engine->new_session(), b = *engine->new_session(),
       exact = *engine->new_session(ActivationScheme::float32);
  const auto t = tokens(300);
  for (Session* s : {a.get(), b.get()}) ASSERT_TRUE(s->append(context_, std::span(t).first(10)).ok());
  const auto refused = [&](const std::vector<SessionTokens>& parts, Code code) {
    const Status result = engine->append(context_, parts);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, code) << result.error().message;
    for (const Session* s : {a.get(), b.get()})
      EXPECT_TRUE(std::ranges::equal(s->tokens(), std::span(t).first(10)));
  };
  const auto five = std::span(t).first(5);
  refused({{a.get(), five, 0}, {b.get(), std::span(t).first(247), 0}}, Code::usage);
  refused({{a.get(), five, 0}, {a.get(), five, 0}}, Code::usage);
  refused({{a.get(), five, 0}, {exact.get(), five, 0}}, Code::usage);
  refused({{a.get(), five, 0}, {nullptr, five, 0}}, Code::usage);
  EXPECT_TRUE(engine->append(context_, {}).ok());
  const std::vector<KeptRows> mixed = {{a.get(), 0, 1}, {exact.get(), 0, 0}};
  std::vector<float> row(100);
  EXPECT_EQ(engine->kept_logits(context_, mixed, row.data()).error().code, Code::usage);
  cancellation_.request();
  refused({{a.get(), five, 5}, {b.get(), five, 5}}, Code::interrupted);
  EXPECT_FALSE(a->kept_logits(context_, 0, 1, row.data()).ok()) << "rows that were never computed";
}

TEST_F(EngineTest, ACopyGoesOnAsTheOriginalWould) {
  for (const KvEncoding kv : {KvEncoding::f16, KvEncoding::q8_0}) {
    EngineOptions options;
    options.kv = kv;
    const auto engine = load({}, options);
    const auto t = tokens(200);
    auto original = *engine->new_session();
    ASSERT_TRUE(original->append(context_, std::span(t).first(150)).ok());
    for (const int64_t positions : {0, 1, 63, 64, 65, 128, 150}) {
      auto expected = *engine->new_session();
      if (positions > 0) {
        ASSERT_TRUE(expected->append(context_, std::span(t).first(positions)).ok());
      }
      const auto next = std::span(t).subspan(100, 50);
      const auto logits = scored(*expected, next, 0);
      // Into an empty session, one that holds something else, one that began alike, and one that holds more.
      for (const int64_t alike : {0, -20, 70, 200}) {
        auto copy = *engine->new_session();
        if (alike < 0) {
          ASSERT_TRUE(copy->append(context_, std::span(t).subspan(1, -alike)).ok());
        }
        if (alike > 0) {
          ASSERT_TRUE(copy->append(context_, std::span(t).first(alike)).ok());
        }
        ASSERT_TRUE(copy->copy_from(*original, positions).ok());
        EXPECT_TRUE(std::ranges::equal(copy->tokens(), std::span(t).first(positions)));
        EXPECT_EQ(scored(*copy, next, 0), logits) << positions << " into " << alike;
      }
    }
    // The original is its own, and so is the copy.
    auto copy = *engine->new_session();
    ASSERT_TRUE(copy->copy_from(*original, 100).ok());
    ASSERT_TRUE(copy->append(context_, std::span(t).first(30)).ok());
    auto expected = *engine->new_session();
    ASSERT_TRUE(expected->append(context_, std::span(t).first(150)).ok());
    EXPECT_EQ(scored(*original, std::span(t).first(9), 0), scored(*expected, std::span(t).first(9), 0));

    auto exact = *engine->new_session(ActivationScheme::float32), foreign = *load({})->new_session();
    EXPECT_EQ(copy->copy_from(*exact, 0).error().code, Code::usage);
    EXPECT_EQ(copy->copy_from(*foreign, 0).error().code, Code::usage);
    EXPECT_EQ(copy->copy_from(*original, 160).error().code, Code::usage);
    EXPECT_EQ(copy->position(), 130);
    ASSERT_TRUE(original->copy_from(*original, 20).ok());
    EXPECT_EQ(original->position(), 20);
  }
}

TEST_F(EngineTest, ErrorsOfTheSinkAndCancellationLeaveTheSession) {
  const auto engine = load({});
  auto session = *engine->new_session();
  ASSERT_TRUE(session->append(context_, tokens(5)).ok());
  const Status failed = session->append_scored(context_, tokens(5), 0, [](int64_t, int64_t, const float*) {
    return Status(error(Code::io, "no more"));
  });
  EXPECT_EQ(failed.error().code, Code::io);
  EXPECT_EQ(session->position(), 5);
  cancellation_.request();
  const auto cancelled = session->append(context_, tokens(5));
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, Code::interrupted);
  EXPECT_EQ(session->position(), 5);
}

TEST(LogitSlab, IsBoundedAndNeverEmpty) {
  EXPECT_EQ(logit_slab_rows(1), 512);
  EXPECT_EQ(logit_slab_rows(128256), 64);
  EXPECT_EQ(logit_slab_rows(int64_t{1} << 31), 16);
}

}  // namespace
}  // namespace carat
