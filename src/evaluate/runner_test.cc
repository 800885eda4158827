#include "evaluate/runner.h"

#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "evaluate/run_lock.h"
#include "evaluate/testing.h"

namespace carat {
namespace {

using testing::chat_item;
using testing::choice_item;
using testing::MemorySuite;
using testing::ScriptedSubject;

class RunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Store::open(directory_ / "scores.sqlite");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = *std::move(opened);
    begin();
  }
  void begin() {
    const Scorecard card = begin_card(context_, suite_, subject_, "variant", "");
    const auto run = store_->begin_run(card);
    ASSERT_TRUE(run.ok()) << run.error().message;
    run_ = *run;
  }
  Result<RunTotals> run(RunOptions options = {}) {
    return run_suite(context_, suite_, subject_, *store_, run_, options);
  }
  RunTotals good_run(const RunOptions& options = {}) {
    auto totals = run(options);
    EXPECT_TRUE(totals.ok()) << totals.error().message;
    return totals ? *totals : RunTotals();
  }
  std::vector<Record> records() {
    std::vector<Record> out;
    const Status s = store_->for_each_record(
        run_,
        [&](Record&& r) -> Status {
          out.push_back(std::move(r));
          return {};
        },
        true);
    EXPECT_TRUE(s.ok());
    return out;
  }
  Record record_of(std::string_view item) {
    for (Record& r : records())
      if (r.item == item) return r;
    ADD_FAILURE() << "no record of " << item;
    return {};
  }
  void add_choices(int64_t count) {
    Task task;
    task.name = task.dimension = "c";
    task.metrics = {"acc"};
    suite_.all_tasks.push_back(task);
    suite_.all_items.emplace_back();
    for (int64_t i = 0; i < count; ++i)
      suite_.all_items.back().push_back(choice_item(std::to_string(i), i % 4));
  }
  void add_chat(std::vector<Item> items, std::string check = "exact") {
    Task task;
    task.name = task.dimension = "g";
    task.kind = TaskKind::generate;
    task.check = std::move(check);
    suite_.all_tasks.push_back(task);
    suite_.all_items.push_back(std::move(items));
  }

  testing::TempDirectory directory_;
  ThreadPool pool_{1};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
  MemorySuite suite_;
  ScriptedSubject subject_;
  std::unique_ptr<Store> store_;
  int64_t run_ = 0;
};

double metric(const Record& record, std::string_view name) {
  for (const auto& [key, value] : record.metrics)
    if (key == name) return value;
  ADD_FAILURE() << record.item << " has no metric " << name;
  return -1;
}
bool has_metric(const Record& record, std::string_view name) {
  return std::ranges::any_of(record.metrics, [&](const auto& m) { return m.first == name; });
}

TEST_F(RunnerTest, ChoicesAreJudgedAndKept) {
  add_choices(40);
  const RunTotals totals = good_run();
  EXPECT_EQ(totals.records, 40);
  EXPECT_EQ(totals.prompt_tokens, 40 * 4 * 4);
  EXPECT_TRUE(totals.all_selected);
  ASSERT_EQ(records().size(), 40u);
  const Record r = record_of("1");
  EXPECT_EQ(r.question, "Question 1");
  EXPECT_EQ(r.answer, " 0");
  EXPECT_EQ(r.expected, " 1");
  EXPECT_EQ(metric(r, "acc"), 0);
  EXPECT_EQ(metric(r, "gold_nll"), 2);
  EXPECT_EQ(metric(record_of("4"), "acc"), 1);

  Scorecard card = begin_card(context_, suite_, subject_, "variant", "");
  ASSERT_TRUE(complete_card(suite_, *store_, run_, {}, totals, card).ok());
  EXPECT_TRUE(card.complete);
  ASSERT_FALSE(card.scores.empty());
  EXPECT_EQ(card.scores[0].metric, "acc");
  EXPECT_DOUBLE_EQ(card.scores[0].value.mean, 0.25);
}

// What a gate looks at where its rule names no metric.
TEST_F(RunnerTest, TheMetricsOfTheTaskComeFirstInARecord) {
  add_choices(1);
  suite_.all_tasks[0].metrics = {"gold_nll", "acc_norm"};
  good_run();
  std::vector<std::string> names;
  const Record r = record_of("0");
  for (const auto& [name, value] : r.metrics) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"gold_nll", "acc_norm", "acc", "acc_chars", "chance"}));
}

TEST_F(RunnerTest, NothingIsAskedTwice) {
  add_choices(50);
  RunOptions some;
  some.limit = 20;
  RunTotals totals = good_run(some);
  EXPECT_EQ(totals.records, 20);
  EXPECT_FALSE(totals.all_selected);
  EXPECT_EQ(subject_.asked, 80);
  totals = good_run();
  EXPECT_EQ(totals.records, 30);
  EXPECT_EQ(totals.already_there, 20);
  EXPECT_EQ(subject_.asked, 200);
  EXPECT_EQ(good_run().records, 0);
  EXPECT_EQ(subject_.asked, 200);
}

TEST_F(RunnerTest, WhatWasFinishedBeforeAnErrorIsKept) {
  add_choices(50);
  int64_t call = 0;
  subject_.before_call = [&]() -> Status {
    return ++call == 3 ? error(Code::interrupted, "interrupted") : Status();
  };
  const auto stopped = run();
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::interrupted);
  const size_t kept = records().size();
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, 50u);
  EXPECT_EQ(good_run().already_there, static_cast<int64_t>(kept));
  EXPECT_EQ(subject_.asked, 200);
}

TEST_F(RunnerTest, FailedAnswersAreAskedAgainUnscoredOnesAreNot) {
  add_choices(8);
  bool broken = true;
  subject_.on_likelihood = [&](const LikelihoodQuestion& q, Reply<LikelihoodReply>& r) {
    if (q.question.prompt == "Question 3" && broken && q.continuation == " 2") return r.set_failed("no line");
    if (q.question.prompt == "Question 5") return r.set_unscored("too long");
    r.set({-1, false, 1, 1});
  };
  RunTotals totals = good_run();
  EXPECT_EQ(totals.failed, 1);
  EXPECT_EQ(totals.unscored, 1);
  EXPECT_EQ(record_of("3").outcome, Outcome::failed);
  EXPECT_EQ(record_of("3").reason, "no line");
  EXPECT_TRUE(record_of("3").metrics.empty());
  EXPECT_EQ(record_of("5").outcome, Outcome::unscored);
  Scorecard card = begin_card(context_, suite_, subject_, "variant", "");
  ASSERT_TRUE(complete_card(suite_, *store_, run_, {}, totals, card).ok());
  EXPECT_FALSE(card.complete);
  EXPECT_EQ(card.scores[0].failed, 1);

  broken = false;
  totals = good_run();
  EXPECT_EQ(totals.records, 1);
  EXPECT_EQ(record_of("3").outcome, Outcome::scored);
  ASSERT_TRUE(complete_card(suite_, *store_, run_, {}, totals, card).ok());
  EXPECT_TRUE(card.complete);
}

TEST_F(RunnerTest, AnEndpointThatIsGoneEndsTheRun) {
  add_choices(1000);
  subject_.on_likelihood = [](const LikelihoodQuestion&, Reply<LikelihoodReply>& r) { r.set_failed("gone"); };
  const auto stopped = run();
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::io);
  EXPECT_NE(stopped.error().message.find("gone"), std::string::npos);
  EXPECT_LT(subject_.asked, 1000);
}

TEST_F(RunnerTest, BatchesGrowAndStayBounded) {
  add_choices(3000);
  RunOptions options;
  options.batch_seconds = 1e9;  // whatever the machine is doing
  EXPECT_EQ(good_run(options).largest_batch, 512);
  EXPECT_EQ(subject_.largest_call, 4 * 512);
}

TEST_F(RunnerTest, UnknownTasksAreNamed) {
  add_choices(1);
  RunOptions options;
  options.tasks = {"d"};
  const auto r = run(options);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, Code::usage);
  EXPECT_NE(r.error().message.find("it has c"), std::string::npos);
}

TEST_F(RunnerTest, LossesAreWeightedByTheirTokens) {
  Task task;
  task.name = task.dimension = "p";
  task.kind = TaskKind::perplexity;
  suite_.all_tasks.push_back(task);
  Item item;
  item.id = item.cluster = "doc";
  item.text = "12345678";
  suite_.all_items.push_back({item});
  subject_.on_text = [](const std::string&, Reply<TextLossReply>& r) { r.set({6.0, 4, 2.0, 3.0}); };
  good_run();
  const Record r = record_of("doc");
  EXPECT_EQ(r.weight, 4);
  EXPECT_EQ(metric(r, "nll"), 1.5);
  EXPECT_DOUBLE_EQ(metric(r, "bits_per_byte"), 6 / std::log(2.0) / 8);
  EXPECT_EQ(metric(r, "kl"), 0.5);
  EXPECT_EQ(metric(r, "same_top"), 0.75);
}

TEST_F(RunnerTest, TurnsGoBackAndForth) {
  add_chat({chat_item("two", {{"user", "A?"}, {"user", "B?"}}, R"({"answer":"b"})"),
            chat_item("given", {{"system", "S"}, {"user", "C?"}, {"assistant", "c"}, {"user", "D?"}},
                      R"({"answer":"d"})")});
  std::set<std::string> seen;
  subject_.on_generation = [&](const GenerationQuestion& q, Reply<GeneratedText>& r) {
    std::string turns;
    for (const Turn& t : q.question.turns) turns += t.role.substr(0, 1) + ":" + t.content + " ";
    seen.insert(turns);
    GeneratedText g;
    g.text = q.question.turns.back().content == "A?"   ? "<think>hm</think> a"
             : q.question.turns.back().content == "B?" ? "b"
                                                       : "e";
    g.tokens = 2;
    g.prompt_tokens = 5;
    r.set(g);
  };
  good_run();
  EXPECT_EQ(seen, (std::set<std::string>{"u:A? ", "u:A? a:a u:B? ", "s:S u:C? a:c u:D? "}));
  const Record two = record_of("two");
  EXPECT_EQ(two.answer, "a\n---\nb");
  EXPECT_EQ(metric(two, "exact"), 1);
  EXPECT_EQ(metric(two, "tokens"), 4);
  EXPECT_EQ(metric(two, "reasoning_bytes"), 2);
  EXPECT_EQ(two.prompt_tokens, 10);
  EXPECT_EQ(two.question, "B?");
  EXPECT_EQ(metric(record_of("given"), "exact"), 0);
}

TEST_F(RunnerTest, TheLikelihoodOfTheGoldAnswerComesWithAGeneration) {
  add_chat({chat_item("a", {{"user", "A?"}}, R"({"answer":"42"})")});
  suite_.all_items.back().push_back(chat_item("plain", {}, R"({"answer":["7","seven"]})"));
  suite_.all_items.back().back().prompt = "It is";
  std::set<std::string> continuations;
  subject_.on_likelihood = [&](const LikelihoodQuestion& q, Reply<LikelihoodReply>& r) {
    continuations.insert(q.continuation);
    q.question.turns.empty() ? r.set_unscored("no") : r.set({-3, false, 1, 1});
  };
  subject_.on_generation = [](const GenerationQuestion&, Reply<GeneratedText>& r) { r.set({}); };
  good_run();
  EXPECT_EQ(metric(record_of("a"), "gold_nll"), 3);
  EXPECT_FALSE(has_metric(record_of("plain"), "gold_nll"));
  EXPECT_EQ(continuations, (std::set<std::string>{"42", " 7"}));
}

TEST_F(RunnerTest, RepeatsHaveSeedsOfTheirOwn) {
  add_chat({chat_item("a", {{"user", "A?"}}, R"({"answer":"x"})"),
            chat_item("b", {{"user", "A?"}}, R"({"answer":"x"})")});
  suite_.all_tasks[0].generation.repeats = 3;
  subject_.on_generation = [](const GenerationQuestion&, Reply<GeneratedText>& r) { r.set({}); };
  EXPECT_EQ(good_run().records, 6);
  EXPECT_EQ(std::set<uint64_t>(subject_.seeds.begin(), subject_.seeds.end()).size(), 6u);
  const auto first = subject_.seeds;
  EXPECT_EQ(good_run().already_there, 6);

  subject_.seeds.clear();
  Scorecard other = begin_card(context_, suite_, subject_, "other", "");
  run_ = *store_->begin_run(other);
  good_run();
  EXPECT_EQ(subject_.seeds, first);
  subject_.seeds.clear();
  other.variant.name = "shifted";
  run_ = *store_->begin_run(other);
  RunOptions shifted;
  shifted.seed_shift = 1;
  good_run(shifted);
  for (const uint64_t seed : subject_.seeds) EXPECT_EQ(std::ranges::count(first, seed), 0);
}

TEST_F(RunnerTest, RepeatsMayBeMoreThanTheSuiteSaysWhereAnswersAreSampled) {
  add_chat({chat_item("a", {{"user", "A"}}, R"({"answer": ["x"]})")});
  suite_.all_tasks[0].generation.temperature = 1;
  add_chat({chat_item("b", {{"user", "B"}}, R"({"answer": ["x"]})")});
  suite_.all_tasks[1].name = "greedy";
  subject_.on_generation = [](const GenerationQuestion&, Reply<GeneratedText>& r) { r.set({}); };
  RunOptions options;
  options.repeats = 3;
  EXPECT_EQ(good_run(options).records, 4);
  EXPECT_EQ(std::set<uint64_t>(subject_.seeds.begin(), subject_.seeds.end()).size(), 4u);
  Scorecard card = begin_card(context_, suite_, subject_, "variant", "");
  ASSERT_TRUE(complete_card(suite_, *store_, run_, options, {}, card).ok());
  EXPECT_TRUE(card.complete);
  options.repeats = 4;
  ASSERT_TRUE(complete_card(suite_, *store_, run_, options, {}, card).ok());
  EXPECT_FALSE(card.complete);
}

TEST_F(RunnerTest, TruncatedAndLoopedAnswersAreCounted) {
  add_chat({chat_item("a", {{"user", "A?"}}, R"({"answer":"x"})")});
  subject_.on_generation = [](const GenerationQuestion&, Reply<GeneratedText>& r) {
    GeneratedText g;
    for (int i = 0; i < 50; ++i) g.text += "again and ";
    g.truncated = true;
    r.set(g);
  };
  good_run();
  const Record r = record_of("a");
  EXPECT_TRUE(r.looped);
  EXPECT_TRUE(r.truncated);
  EXPECT_EQ(metric(r, "looped"), 1);
  EXPECT_EQ(metric(r, "truncated"), 1);
}

/// A process that was killed has its locks until the system is done with it.
TEST(RunLock, WaitsForAProcessThatIsAboutToEnd) {
  const testing::TempDirectory directory;
  const std::string store = directory / "store";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto lock = RunLock::take(store, 1);
    const char byte = lock.ok() ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    usleep(300'000);
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  const auto after = RunLock::take(store, 1);
  EXPECT_TRUE(after.ok()) << after.error().message;
  int status = 0;
  waitpid(child, &status, 0);
  close(ready[0]), close(ready[1]);
}

TEST(RunLock, IsOfOneRunAndOneProcess) {
  const testing::TempDirectory directory;
  const std::string store = directory / "store";
  const auto first = RunLock::take(store, 1);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(RunLock::take(store, 2).ok());
  const auto second = RunLock::take(store, 1);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::usage);
}

TEST(CutText, EndsBetweenCharacters) {
  EXPECT_EQ(cut_text("abc", 3), "abc");
  EXPECT_EQ(cut_text("abcd", 3), "abc...");
  EXPECT_EQ(cut_text("ab\xc3\xa4x", 3), "ab...");
}

}  // namespace
}  // namespace carat
