#include "cards/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "cards/testing.h"
#include "containers/test_files.h"

namespace carat {
namespace {

using testing::file_text, testing::make_card, testing::make_record, testing::TempDirectory,
    testing::write_file;

std::unique_ptr<Store> opened(const std::string& path) {
  auto store = Store::open(path);
  EXPECT_TRUE(store.ok()) << store.error().message;
  return store.ok() ? *std::move(store) : nullptr;
}

std::string open_message(const std::string& path) {
  const auto store = Store::open(path);
  return store.ok() ? "opened" : store.error().message;
}

std::vector<Record> records_of(Store& store, int64_t run) {
  std::vector<Record> out;
  const Status status = store.for_each_record(run, [&](Record&& r) -> Status {
    out.push_back(std::move(r));
    return {};
  });
  EXPECT_TRUE(status.ok()) << status.error().message;
  return out;
}

/// Statements of a test's own, behind the store's back.
void execute(const std::string& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(handle);
  sqlite3_close(handle);
}

/// Runs `body` in a process of its own; its exit status is what body returns.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Store, a_card_comes_back_as_it_was) {
  TempDirectory directory;
  Scorecard card = make_card("Q4_K_M");
  card.complete = true;
  card.reference = "ref";
  for (int i = 0; i < 600; ++i)
    card.records.push_back(make_record("t", fmt::format("{:04}", i), i * 0.1, {"a\"b", "s"}));
  card.records[3].answer = std::string("nul \0 byte\xff", 11);
  card.records[5].metrics = {{"x", -HUGE_VAL}, {"y", 5e-324}};
  card.records[6].outcome = Outcome::failed;
  card.records[6].metrics.clear();
  card.scores = sum_up(card.records, {{"t", "general"}});
  auto store = opened(directory / "s.sqlite");
  const auto run = store->add_card(card);
  ASSERT_TRUE(run.ok()) << run.error().message;
  store = opened(directory / "s.sqlite");
  const auto back = store->card(*run, true);
  ASSERT_TRUE(back.ok()) << back.error().message;
  card.run = *run;
  EXPECT_EQ(back->records[3].answer, card.records[3].answer);
  EXPECT_TRUE(pretty_json(to_json(*back, true)) == pretty_json(to_json(card, true)));
  EXPECT_EQ(records_of(*store, *run).size(), 599u);  // without the failed one
  EXPECT_TRUE(store->card(*run, false)->records.empty());
  EXPECT_EQ(store->card(99, false).error().code, Code::no_input);
}

TEST(Store, a_run_goes_on_and_scores_nothing_twice) {
  TempDirectory directory;
  const Scorecard card = make_card("a");
  int64_t run = 0;
  {
    auto store = opened(directory / "s");
    run = *store->begin_run(card);
    Record failed = make_record("t", "2", 0);
    failed.outcome = Outcome::failed;
    failed.metrics.clear();
    ASSERT_TRUE(store->add(run, {make_record("t", "1", 1), failed}).ok());
  }
  auto store = opened(directory / "s");
  Scorecard same = card;
  same.variant.settings = {{"kv", "f16"}, {"activations", "int8_32"}};  // other order
  EXPECT_EQ(*store->begin_run(same), run);
  ASSERT_EQ(records_of(*store, run).size(), 1u);
  EXPECT_EQ(store->card(run, true)->records.size(), 2u);  // with the failed one

  // The failed one is replaced, the scored one is not.
  ASSERT_TRUE(store->add(run, {make_record("t", "1", 0), make_record("t", "2", 0.5)}).ok());
  ASSERT_TRUE(store->add(run, {make_record("t", "2", 0.75)}).ok());
  const auto records = records_of(*store, run);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].metrics[0].second, 1);
  ASSERT_EQ(records[1].metrics.size(), 1u);
  EXPECT_EQ(records[1].metrics[0].second, 0.5);

  Scorecard done = card;
  done.complete = true;
  done.file_bytes = 5;
  done.scores = sum_up(records, {});
  ASSERT_TRUE(store->finish_run(run, done).ok());
  EXPECT_EQ(store->add(run, {make_record("t", "3", 1)}).error().code, Code::usage);
  EXPECT_EQ(store->finish_run(run, card).error().code, Code::usage);
  EXPECT_EQ(store->add(77, {}).error().code, Code::no_input);
  EXPECT_EQ(store->card(run, false)->file_bytes, 5);
  EXPECT_NE(*store->begin_run(card), run);
}

TEST(Store, another_variant_suite_or_reference_is_another_run) {
  TempDirectory directory;
  auto store = opened(directory / "s");
  std::set<int64_t> runs;
  Scorecard card = make_card("a");
  runs.insert(*store->begin_run(card));
  card.variant.settings["kv"] = "q8_0";
  runs.insert(*store->begin_run(card));
  card.variant.model_digest = "other";
  runs.insert(*store->begin_run(card));
  card.suite_digest = "other";
  runs.insert(*store->begin_run(card));
  card.reference = "other";
  runs.insert(*store->begin_run(card));
  card.variant.name = "other";
  runs.insert(*store->begin_run(card));
  EXPECT_EQ(runs.size(), 6u);
}

TEST(Store, runs_are_found_by_number_and_name) {
  TempDirectory directory;
  auto store = opened(directory / "s");
  EXPECT_NE(store->find_run("a", "").error().message.find("empty"), std::string::npos);
  Scorecard card = make_card("a");
  card.complete = true;
  const int64_t first = *store->add_card(card), second = *store->add_card(card);
  card.suite = "other";
  card.suite_digest = "0123";
  const int64_t other = *store->add_card(card);
  card.complete = false;
  const int64_t unfinished = *store->add_card(card);
  card.variant.name = "12";
  card.complete = true;
  const int64_t named_like_a_number = *store->add_card(card);

  EXPECT_EQ(*store->find_run(std::to_string(first), ""), first);
  EXPECT_EQ(*store->find_run(std::to_string(unfinished), ""), unfinished);
  EXPECT_EQ(*store->find_run("a", "basics"), second);
  EXPECT_EQ(*store->find_run("a", "0123"), other);
  EXPECT_EQ(*store->find_run("a", ""), other);
  EXPECT_EQ(*store->find_run("12", ""), named_like_a_number);
  EXPECT_EQ(store->find_run("a", "none").error().code, Code::no_input);
  EXPECT_NE(store->find_run("b", "").error().message.find("\"12\", \"a\""), std::string::npos);
  card.variant.name = "half";
  card.complete = false;
  (void)store->add_card(card);
  const std::string message = store->find_run("half", "").error().message;
  EXPECT_NE(message.find("run 6 on suite \"other\" is unfinished, with"), std::string::npos) << message;

  const auto runs = store->runs();
  ASSERT_EQ(runs->size(), 6u);
  EXPECT_EQ((*runs)[0].variant, "a");
  EXPECT_EQ((*runs)[0].date, "2026-11-21T20:00:00Z");
  EXPECT_TRUE((*runs)[0].complete);
}

TEST(Store, decisions_are_kept) {
  TempDirectory directory;
  auto store = opened(directory / "s");
  Scorecard card = make_card("a");
  const int64_t run = *store->add_card(card);
  Decision decision{run, 0, "default", "BREACH", "arithmetic fell", "ann", "", "digest", {{"slices", 3}}};
  ASSERT_TRUE(store->add_decision(decision).ok());
  const auto decisions = store->decisions();
  ASSERT_TRUE(decisions.ok()) << decisions.error().message;
  ASSERT_EQ(decisions->size(), 1u);
  EXPECT_EQ((*decisions)[0].baseline, run);
  EXPECT_EQ((*decisions)[0].candidate, 0);
  EXPECT_EQ((*decisions)[0].reason, "arithmetic fell");
  EXPECT_EQ((*decisions)[0].date.size(), 20u);
  EXPECT_EQ((*decisions)[0].details.at("slices").as_int64(), 3);
  decision.candidate = 99;
  EXPECT_FALSE(store->add_decision(decision).ok());
}

TEST(Store, the_file_is_private_and_its_directory_is_made) {
  TempDirectory directory;
  const std::string path = directory / "deep/er/s.sqlite";
  auto store = opened(path);
  (void)store->begin_run(make_card("a"));
  for (const std::string& file : {path, path + "-wal", path + "-shm"}) {
    struct stat info;
    ASSERT_EQ(stat(file.c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  EXPECT_NE(open_message(directory.path()).find("cannot"), std::string::npos);
  write_file(directory / "file", "x");
  EXPECT_NE(open_message(directory / "file/s").find("cannot create"), std::string::npos);
}

TEST(Store, other_files_are_refused_and_left_alone) {
  TempDirectory directory;
  const std::string text = directory / "notes.txt";
  write_file(text, std::string(5000, 'n'));
  EXPECT_NE(open_message(text).find("no SQLite database"), std::string::npos);
  EXPECT_EQ(file_text(text), std::string(5000, 'n'));

  const std::string foreign = directory / "foreign.sqlite";
  execute(foreign, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
  const std::string before = file_text(foreign);
  EXPECT_NE(open_message(foreign).find("no store of scores"), std::string::npos);
  EXPECT_EQ(file_text(foreign), before);

  const std::string newer = directory / "newer.sqlite";
  opened(newer).reset();
  execute(newer, "PRAGMA user_version = 9");
  EXPECT_NE(open_message(newer).find("store of version 9; this carat reads and writes version 1"),
            std::string::npos);

  const std::string empty = directory / "empty";
  write_file(empty, "");
  EXPECT_NE(opened(empty), nullptr);
}

TEST(Store, damage_is_an_error) {
  TempDirectory directory;
  const std::string path = directory / "s";
  {
    auto store = opened(path);
    Scorecard card = make_card("a");
    for (int i = 0; i < 500; ++i) card.records.push_back(make_record("t", std::to_string(i), 1));
    card.complete = true;
    ASSERT_TRUE(store->add_card(card).ok());
  }
  const std::string good = file_text(path);
  int errors = 0;
  for (size_t cut = 0; cut < 40; ++cut) {
    std::string bad = good;
    if (cut % 2 == 0) {
      bad.resize(good.size() * cut / 40);
    } else {  // a page of noise
      const size_t at = good.size() * cut / 40 / 4096 * 4096;
      for (size_t i = at; i < at + 4096 && i < bad.size(); ++i) bad[i] = static_cast<char>(i * 31 + cut);
    }
    write_file(path, bad);
    std::filesystem::remove(path + "-wal");
    std::filesystem::remove(path + "-shm");
    auto store = Store::open(path);
    if (!store) {
      ++errors;
      EXPECT_NE(store.error().message.find(path), std::string::npos);
      continue;
    }
    const auto card = (*store)->card(1, true);
    errors += !card.ok();
  }
  EXPECT_GT(errors, 25);

  write_file(path, good);
  execute(path, "PRAGMA ignore_check_constraints = 1; UPDATE runs SET settings = '[1'");
  EXPECT_EQ(opened(path)->card(1, false).error().code, Code::bad_data);
  execute(path, "UPDATE runs SET settings = '{}'; UPDATE records SET outcome = 7 WHERE record = 400");
  EXPECT_NE(opened(path)->card(1, true).error().message.find("outcome 7"), std::string::npos);
  execute(path, "DROP TABLE metrics");
  EXPECT_NE(opened(path)->card(1, true).error().message.find("damaged"), std::string::npos);
}

TEST(Store, several_processes_write_at_once) {
  TempDirectory directory;
  const std::string path = directory / "s";
  constexpr int kProcesses = 6, kRecords = 40;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      // All make the file, two and two go on with the same run.
      auto store = Store::open(path);
      if (!store) _exit(2);
      const auto run = (*store)->begin_run(make_card(fmt::format("v{}", p / 2)));
      if (!run) _exit(3);
      for (int i = 0; i < kRecords; ++i)
        if (!(*store)->add(*run, {make_record("t", std::to_string(i), p)})) _exit(4);
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << (WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }
  auto store = opened(path);
  const auto runs = *store->runs();
  ASSERT_EQ(runs.size(), 3u);
  for (const RunSummary& run : runs) {
    EXPECT_EQ(run.records, kRecords);
    for (const Record& r : records_of(*store, run.run)) EXPECT_EQ(r.metrics.size(), 1u);
  }
}

TEST(Store, what_was_added_survives_a_kill) {
  TempDirectory directory;
  const std::string path = directory / "s";
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto store = Store::open(path);
    if (!store) _exit(2);
    const auto run = (*store)->begin_run(make_card("a"));
    for (int32_t i = 0;; ++i) {
      if (!(*store)->add(*run, {make_record("t", fmt::format("{:06}", i), 1)})) _exit(3);
      if (write(pipe_ends[1], &i, sizeof i) != sizeof i) _exit(4);
    }
  }
  int32_t promised = -1;
  for (int i = 0; i < 50; ++i) ASSERT_EQ(read(pipe_ends[0], &promised, sizeof promised), 4);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(pipe_ends[1]);
  for (int32_t next; read(pipe_ends[0], &next, sizeof next) == 4;) promised = next;
  close(pipe_ends[0]);
  auto store = opened(path);
  const int64_t run = *store->begin_run(make_card("a"));
  EXPECT_EQ(run, 1);
  const auto records = records_of(*store, run);
  ASSERT_GE(records.size(), static_cast<size_t>(promised + 1));
  EXPECT_LE(records.size(), static_cast<size_t>(promised + 2));
}

TEST(Store, a_full_disk_keeps_what_was_finished) {
  TempDirectory directory;
  const std::string path = directory / "s";
  const int status = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{300'000, 300'000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    auto store = Store::open(path);
    if (!store) return 3;
    const auto run = (*store)->begin_run(make_card("a"));
    if (!run) return 4;
    Record r = make_record("t", "", 1);
    r.answer = std::string(5000, 'x');
    for (int i = 0; i < 200; ++i) {
      r.item = fmt::format("{:06}", i);
      const Status added = (*store)->add(*run, {r});
      if (added) continue;
      if (added.error().code != Code::io) return 5;
      if (added.error().message.find("what was finished before is kept") == std::string::npos) return 6;
      // It still reads what it has, in the same process.
      return static_cast<int>(records_of(**store, *run).size()) == i && i >= 5 ? 0 : 7;
    }
    return 8;
  });
  ASSERT_EQ(status, 0);
  auto store = opened(path);
  const auto records = records_of(*store, *store->begin_run(make_card("a")));
  EXPECT_GE(records.size(), 5u);
  ASSERT_TRUE(store->add(1, {make_record("t", "after", 1)}).ok());
  EXPECT_EQ(records_of(*store, 1).size(), records.size() + 1);
}

/// As someone who is not root, whom permissions do not bind.
int as_nobody(const std::function<int()>& body) {
  return in_child([&] {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 99;
    return body();
  });
}

TEST(Store, a_file_that_may_not_be_written_is_read) {
  TempDirectory directory;
  const std::string path = directory / "s";
  {
    auto store = opened(path);
    Scorecard card = make_card("a");
    card.complete = true;
    card.records = {make_record("t", "1", 1)};
    ASSERT_TRUE(store->add_card(card).ok());
  }
  chmod(path.c_str(), 0444);
  chmod(directory.path().c_str(), 0555);
  const int status = as_nobody([&] {
    auto store = Store::open(path);
    if (!store) return 2;
    const auto card = (*store)->card(1, true);
    if (!card || card->records.size() != 1) return 3;
    const auto run = (*store)->begin_run(make_card("b"));
    if (run.ok()) return 4;
    if (run.error().code != Code::io) return 5;
    if (run.error().message.find("may not be written") == std::string::npos) return 6;
    const auto other = Store::open(directory / "new");
    return other.ok() || other.error().code != Code::io ? 7 : 0;
  });
  chmod(directory.path().c_str(), 0755);
  EXPECT_EQ(status, 0);
  chmod(path.c_str(), 0000);
  chmod(directory.path().c_str(), 0755);
  EXPECT_EQ(as_nobody([&] {
              const auto store = Store::open(path);
              return store.ok() || store.error().code != Code::no_input;
            }),
            0);
}

TEST(Store, reading_and_writing_may_alternate) {
  TempDirectory directory;
  auto store = opened(directory / "s");
  const int64_t run = *store->begin_run(make_card("a"));
  std::vector<Record> records;
  for (int i = 0; i < 1000; ++i) records.push_back(make_record("t", fmt::format("{:04}", i), 1));
  ASSERT_TRUE(store->add(run, records).ok());
  int64_t seen = 0;
  const Status status = store->for_each_record(run, [&](Record&& r) -> Status {
    if (r.task == "t" && ++seen % 100 == 0) return store->add(run, {make_record("u", r.item, 1)});
    return {};
  });
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_GE(seen, 1000);  // what is added meanwhile may be met or not
  EXPECT_EQ(records_of(*store, run).size(), 1010u);
  EXPECT_EQ(store->for_each_record(run, [](Record&&) -> Status { return bad_data("stop"); }).error().message,
            "stop");
}

TEST(Store, the_default_path_follows_the_environment) {
  const auto with = [](const char* carat, const char* state, const char* home) {
    carat ? setenv("CARAT_STORE", carat, 1) : unsetenv("CARAT_STORE");
    state ? setenv("XDG_STATE_HOME", state, 1) : unsetenv("XDG_STATE_HOME");
    setenv("HOME", home, 1);
    return default_store_path();
  };
  EXPECT_EQ(with("/a/b", "/s", "/h"), "/a/b");
  EXPECT_EQ(with(nullptr, "/s", "/h"), "/s/carat/scores.sqlite");
  EXPECT_EQ(with(nullptr, nullptr, "/h"), "/h/.local/state/carat/scores.sqlite");
}

}  // namespace
}  // namespace carat
