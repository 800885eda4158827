#include "engine/shared_prefixes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "model/testing/random_model.h"

namespace carat {
namespace {

class SharedPrefixesTest : public ::testing::Test {
 protected:
  SharedPrefixesTest() {
    testing::RandomModel m;
    m.layers = 1;
    engine_ = *Engine::load(context_, testing::random_model(m), {});
  }
  using Sequences = std::vector<std::vector<TokenId>>;
  static std::vector<TokenId> count(TokenId from, int64_t n) {
    std::vector<TokenId> out(n);
    for (TokenId& t : out) t = from++ % 100;
    return out;
  }
  static std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  /// Computes all and checks that each node is computed once, after its parent, in a session that holds what
  /// precedes it. Returns the most sessions that were alive.
  int64_t walk(SharedPrefixes& p, const Sequences& sequences, int64_t tokens, int64_t sessions) {
    int64_t most = 0;
    std::set<size_t> seen;
    while (true) {
      const auto nodes = *p.take(tokens, sessions, true);
      if (nodes.empty()) break;
      most = std::max(most, p.sessions());
      int64_t sum = 0;
      std::vector<SessionTokens> parts;
      for (const size_t i : nodes) {
        const SharedPrefixes::Node& n = p.nodes()[i];
        EXPECT_TRUE(seen.insert(i).second);
        EXPECT_TRUE(n.parent < 0 || seen.contains(n.parent));
        const auto& whole = sequences[p.order()[n.first]];
        EXPECT_TRUE(std::ranges::equal(n.session->tokens(), std::span(whole).first(n.begin)));
        EXPECT_TRUE(std::ranges::equal(p.tokens_of(i), std::span(whole).subspan(n.begin, n.end - n.begin)));
        parts.push_back({n.session.get(), p.tokens_of(i), 0});
        sum += n.end - n.begin;
      }
      EXPECT_TRUE(sum <= tokens || nodes.size() == 1) << sum;
      EXPECT_TRUE(engine_->append(context_, parts).ok());
      for (const size_t i : nodes) p.computed(i);
    }
    EXPECT_EQ(seen.size(), p.nodes().size());
    EXPECT_EQ(p.sessions(), 0);
    return most;
  }
  SharedPrefixes make(const Sequences& sequences) {
    return SharedPrefixes(*engine_, {sequences.begin(), sequences.end()}, false);
  }

  ThreadPool pool_{1};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
  std::shared_ptr<Engine> engine_;
};

TEST_F(SharedPrefixesTest, WhatIsCommonIsComputedOnce) {
  const auto examples = count(0, 50);
  Sequences sequences;
  int64_t expected = 50;
  for (TokenId item = 0; item < 10; ++item) {
    const auto question = joined(examples, joined({item}, count(60, 19)));
    expected += 20;
    for (TokenId choice = 0; choice < 4; ++choice) {
      sequences.push_back(joined(question, {choice, 1, 2}));
      expected += 3;
    }
    sequences.push_back(question);  // ends where the others go on
    sequences.push_back(question);
  }
  SharedPrefixes p = make(sequences);
  EXPECT_EQ(p.tokens(), expected);
  EXPECT_EQ(p.nodes().size(), 1u + 10 + 40);
  EXPECT_LE(walk(p, sequences, 512, 100), 41);
  SharedPrefixes again = make(sequences);
  EXPECT_LE(walk(again, sequences, 30, 3), 4) << "the examples, a question and two choices";
}

TEST_F(SharedPrefixesTest, AFewTokensAreComputedAgain) {
  const Sequences sequences = {joined({1, 2}, count(10, 20)), joined({1, 2}, count(40, 20)), {1, 2}, {1, 2}};
  SharedPrefixes p = make(sequences);
  EXPECT_EQ(p.nodes().size(), 3u);
  EXPECT_EQ(p.tokens(), 22 + 22 + 2);
  walk(p, sequences, 512, 100);
  SharedPrefixes none = make({});
  EXPECT_TRUE(none.take(10, 1, true)->empty());
}

TEST_F(SharedPrefixesTest, RandomTrees) {
  Random random(1);
  for (int round = 0; round < 30; ++round) {
    Sequences sequences(1 + random.next() % 40);
    for (auto& s : sequences) {
      s.resize(1 + random.next() % 60);
      size_t same = random.next() % 60;  // as many tokens that all have, then a few that differ
      for (size_t i = 0; i < s.size(); ++i) s[i] = i < same ? 7 : static_cast<TokenId>(random.next() % 2);
    }
    SharedPrefixes p = make(sequences);
    int64_t all = 0;
    for (const auto& s : sequences) all += static_cast<int64_t>(s.size());
    EXPECT_LE(p.tokens(), all);
    walk(p, sequences, 1 + static_cast<int64_t>(random.next() % 100),
         1 + static_cast<int64_t>(random.next() % 9));
  }
}

}  // namespace
}  // namespace carat
