#include "cards/store.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <mutex>

#include "cards/store_file.h"
#include "cards/valid_json.h"
#include "containers/quote.h"

namespace carat {
namespace {

constexpr size_t kPage = 256;  // records held at once

/// UTC, to the second.
std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[sizeof "2026-01-01T00:00:00Z"];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

json::value sorted(const json::value& value) {
  if (const auto* a = value.if_array()) {
    json::array out;
    for (const auto& item : *a) out.push_back(sorted(item));
    return out;
  }
  const auto* o = value.if_object();
  if (!o) return value;
  std::vector<const json::key_value_pair*> pairs;
  for (const auto& pair : *o) pairs.push_back(&pair);
  std::ranges::sort(pairs, {}, [](const auto* p) { return std::string_view(p->key()); });
  json::object out;
  for (const auto* p : pairs) out[p->key()] = sorted(p->value());
  return out;
}
/// The same text for the same settings, whatever the order of their keys.
std::string canonical(const json::object& object) { return json::serialize(sorted(valid_json(object))); }

class SqliteStore final : public Store {
 public:
  SqliteStore(std::string path, std::unique_ptr<Database> database)
      : path_(std::move(path)), database_(std::move(database)) {}

  Result<int64_t> begin_run(const Scorecard& card) override {
    const std::scoped_lock lock(mutex_);
    int64_t run = 0;
    const Status done = database_->transaction([&]() -> Status {
      CARAT_TRY(Statement find,
                database_->prepare("SELECT run FROM runs WHERE complete = 0 AND variant = ? AND model_digest "
                                   "= ? AND settings = ? AND "
                                   "suite_digest = ? AND reference = ? ORDER BY run DESC LIMIT 1"));
      find.bind(card.variant.name).bind(card.variant.model_digest).bind(canonical(card.variant.settings));
      find.bind(card.suite_digest).bind(card.reference);
      CARAT_TRY(const bool found, find.step());
      if (found) {
        run = find.integer(0);
        return {};
      }
      CARAT_TRY(run, insert_run(card));
      return {};
    });
    if (!done) return done.error();
    return run;
  }

  Status for_each_record(int64_t run, const std::function<Status(Record&&)>& sink, bool failed_too) override;

  Status add(int64_t run, const std::vector<Record>& records) override {
    const std::scoped_lock lock(mutex_);
    return database_->transaction([&]() -> Status {
      CARAT_DO(expect_open(run));
      return insert_records(run, records);
    });
  }

  Status finish_run(int64_t run, const Scorecard& card) override {
    const std::scoped_lock lock(mutex_);
    return database_->transaction([&]() -> Status {
      CARAT_DO(expect_open(run));
      return update_run(run, card);
    });
  }

  Result<int64_t> add_card(const Scorecard& card) override {
    const std::scoped_lock lock(mutex_);
    int64_t run = 0;
    const Status done = database_->transaction([&]() -> Status {
      CARAT_TRY(run, insert_run(card));
      CARAT_DO(insert_records(run, card.records));
      return update_run(run, card);
    });
    if (!done) return done.error();
    return run;
  }

  Result<std::vector<RunSummary>> runs() override {
    const std::scoped_lock lock(mutex_);
    CARAT_TRY(Statement s,
              database_->prepare(
                  "SELECT run, variant, suite, suite_version, suite_digest, model_digest, date, complete, "
                  "(SELECT count(*) FROM records WHERE records.run = runs.run) FROM runs ORDER BY run"));
    std::vector<RunSummary> out;
    while (true) {
      CARAT_TRY(const bool more, s.step());
      if (!more) return out;
      out.push_back({s.integer(0), s.text(1), s.text(2), s.text(3), s.text(4), s.text(5), s.text(6),
                     s.integer(7) != 0, s.integer(8)});
    }
  }

  Result<Scorecard> card(int64_t run, bool with_records) override;
  Result<int64_t> find_run(std::string_view reference, std::string_view suite) override;

  Status add_decision(const Decision& d) override {
    const std::scoped_lock lock(mutex_);
    CARAT_TRY(Statement s,
              database_->prepare("INSERT INTO decisions (baseline, candidate, surface, verdict, reason, "
                                 "author, date, policy_digest, "
                                 "details) VALUES (nullif(?, 0), nullif(?, 0), ?, ?, ?, ?, ?, ?, ?)"));
    s.bind(d.baseline).bind(d.candidate).bind(d.surface).bind(d.verdict).bind(d.reason).bind(d.author);
    s.bind(d.date.empty() ? now() : d.date)
        .bind(d.policy_digest)
        .bind(json::serialize(valid_json(d.details)));
    return s.run();
  }

  Result<std::vector<Decision>> decisions() override {
    const std::scoped_lock lock(mutex_);
    CARAT_TRY(
        Statement s,
        database_->prepare(
            "SELECT baseline, candidate, surface, verdict, reason, author, date, policy_digest, details "
            "FROM decisions ORDER BY decision"));
    std::vector<Decision> out;
    while (true) {
      CARAT_TRY(const bool more, s.step());
      if (!more) return out;
      Decision& d = out.emplace_back(Decision{
          s.integer(0), s.integer(1), s.text(2), s.text(3), s.text(4), s.text(5), s.text(6), s.text(7), {}});
      CARAT_TRY(d.details, object(s.text(8)));
    }
  }

 private:
  Result<json::object> object(std::string_view text) const {
    auto value = parse_json(text);
    if (!value) return std::move(value).error().within(path_);
    if (!value->is_object())
      return bad_data("{}: the store is damaged: not a JSON object: {}", path_, quote(text));
    return std::move(value->as_object());
  }

  Error no_such_run(int64_t run) const { return error(Code::no_input, "{}: there is no run {}", path_, run); }

  Status expect_open(int64_t run) {
    CARAT_TRY(Statement s, database_->prepare("SELECT complete FROM runs WHERE run = ?"));
    CARAT_TRY(const bool found, s.bind(run).step());
    if (!found) return no_such_run(run);
    if (s.integer(0) != 0) return usage_error("{}: run {} is complete and stays as it is", path_, run);
    return {};
  }

  Result<int64_t> insert_run(const Scorecard& card) {
    CARAT_TRY(
        Statement s,
        database_->prepare(
            "INSERT INTO runs (variant, model, model_digest, settings, reference, suite, suite_version, "
            "suite_digest, provenance, performance, file_bytes, date, complete) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"));
    s.bind(card.variant.name).bind(card.variant.model).bind(card.variant.model_digest);
    s.bind(canonical(card.variant.settings)).bind(card.reference);
    s.bind(card.suite).bind(card.suite_version).bind(card.suite_digest);
    s.bind(json::serialize(valid_json(card.provenance)))
        .bind(json::serialize(valid_json(card.performance)))
        .bind(card.file_bytes);
    const json::string* date = json_string(card.provenance.if_contains("date"));
    s.bind(date ? std::string(*date) : now());
    CARAT_DO(s.run());
    return database_->last_row();
  }

  Status insert_records(int64_t run, const std::vector<Record>& records);
  Status update_run(int64_t run, const Scorecard& card);
  Result<std::vector<Record>> page_after(int64_t run, bool failed_too, const Record* last);
  Result<Record> read_record(const Statement& s);

  std::string path_;
  std::mutex mutex_;
  std::unique_ptr<Database> database_;
};

Status SqliteStore::insert_records(int64_t run, const std::vector<Record>& records) {
  // No row comes back where a record is there already and had not failed.
  CARAT_TRY(
      Statement insert,
      database_->prepare(
          "INSERT INTO records (run, task, item, repeat, cluster, slices, outcome, weight, question, answer, "
          "expected, "
          "reason, prompt_tokens, generated_tokens, truncated, looped, seconds, first_token_seconds) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
          "ON CONFLICT (run, task, item, repeat) DO UPDATE SET cluster = excluded.cluster, slices = "
          "excluded.slices, "
          "outcome = excluded.outcome, weight = excluded.weight, question = excluded.question, "
          "answer = excluded.answer, expected = excluded.expected, reason = excluded.reason, "
          "prompt_tokens = excluded.prompt_tokens, generated_tokens = excluded.generated_tokens, "
          "truncated = excluded.truncated, looped = excluded.looped, seconds = excluded.seconds, "
          "first_token_seconds = excluded.first_token_seconds WHERE records.outcome = 2 RETURNING record"));
  CARAT_TRY(Statement forget, database_->prepare("DELETE FROM metrics WHERE record = ?"));
  CARAT_TRY(Statement measure, database_->prepare("INSERT INTO metrics VALUES (?, ?, ?, ?)"));
  for (const Record& r : records) {
    json::array slices;
    for (const std::string& slice : r.slices) slices.emplace_back(json_text(slice));
    insert.bind(run).bind(r.task).bind(r.item).bind(r.repeat).bind(r.cluster).bind(json::serialize(slices));
    insert.bind(static_cast<int64_t>(r.outcome)).bind(r.weight);
    insert.bind(r.question).bind(r.answer).bind(r.expected).bind(r.reason);
    insert.bind(r.prompt_tokens).bind(r.generated_tokens);
    insert.bind(int64_t{r.truncated}).bind(int64_t{r.looped}).bind(r.seconds).bind(r.first_token_seconds);
    CARAT_TRY(const bool written, insert.step());
    const int64_t record = written ? insert.integer(0) : 0;
    CARAT_DO(insert.run());
    if (!written) continue;
    CARAT_DO(forget.bind(record).run());
    for (size_t i = 0; i < r.metrics.size(); ++i) {
      measure.bind(record).bind(static_cast<int64_t>(i)).bind(r.metrics[i].first).bind(r.metrics[i].second);
      CARAT_DO(measure.run());
    }
  }
  return {};
}

Status SqliteStore::update_run(int64_t run, const Scorecard& card) {
  CARAT_TRY(
      Statement update,
      database_->prepare(
          "UPDATE runs SET provenance = ?, performance = ?, file_bytes = ?, complete = ? WHERE run = ?"));
  update.bind(json::serialize(valid_json(card.provenance)))
      .bind(json::serialize(valid_json(card.performance)))
      .bind(card.file_bytes);
  CARAT_DO(update.bind(int64_t{card.complete}).bind(run).run());
  CARAT_TRY(Statement forget, database_->prepare("DELETE FROM scores WHERE run = ?"));
  CARAT_DO(forget.bind(run).run());
  CARAT_TRY(Statement insert,
            database_->prepare("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  for (size_t i = 0; i < card.scores.size(); ++i) {
    const SliceScore& s = card.scores[i];
    insert.bind(run)
        .bind(static_cast<int64_t>(i))
        .bind(s.task)
        .bind(s.dimension)
        .bind(s.slice)
        .bind(s.metric);
    insert.bind(s.value.mean).bind(s.value.standard_error);
    insert.bind(s.value.interval.low).bind(s.value.interval.high);
    insert.bind(s.value.items).bind(s.value.clusters).bind(s.items).bind(s.unscored).bind(s.failed);
    CARAT_DO(insert.run());
  }
  return {};
}

Result<Record> SqliteStore::read_record(const Statement& s) {
  Record r;
  r.task = s.text(1);
  r.item = s.text(2);
  r.repeat = s.integer(3);
  r.cluster = s.text(4);
  auto slices = parse_json(s.text(5));
  if (!slices || !slices->is_array())
    return bad_data("{}: the store is damaged: slices of item {} are no JSON array", path_, quote(r.item));
  for (const auto& slice : slices->as_array())
    if (const auto* name = slice.if_string()) r.slices.emplace_back(*name);
  const int64_t outcome = s.integer(6);
  if (outcome < 0 || outcome > static_cast<int64_t>(Outcome::failed))
    return bad_data("{}: the store is damaged: item {} has outcome {}", path_, quote(r.item), outcome);
  r.outcome = static_cast<Outcome>(outcome);
  r.weight = s.number(7);
  r.question = s.text(8);
  r.answer = s.text(9);
  r.expected = s.text(10);
  r.reason = s.text(11);
  r.prompt_tokens = s.integer(12);
  r.generated_tokens = s.integer(13);
  r.truncated = s.integer(14) != 0;
  r.looped = s.integer(15) != 0;
  r.seconds = s.number(16);
  r.first_token_seconds = s.number(17);
  return r;
}

/// Up to kPage records that follow `last`. No statement stays open between pages, so that a long reading does
/// not keep the log from being folded back.
Result<std::vector<Record>> SqliteStore::page_after(int64_t run, bool failed_too, const Record* last) {
  const std::scoped_lock lock(mutex_);
  CARAT_TRY(
      Statement s,
      database_->prepare(fmt::format(
          "SELECT record, task, item, repeat, cluster, slices, outcome, weight, question, answer, expected, "
          "reason, "
          "prompt_tokens, generated_tokens, truncated, looped, seconds, first_token_seconds FROM records "
          "WHERE run = ?1 AND (outcome != ?2 OR ?6) AND (task, item, repeat) > (?3, ?4, ?5) ORDER BY task, "
          "item, repeat LIMIT {}",
          kPage)));
  s.bind(run).bind(static_cast<int64_t>(Outcome::failed));
  s.bind(last ? last->task : "").bind(last ? last->item : "");
  s.bind(last ? last->repeat : std::numeric_limits<int64_t>::min()).bind(int64_t{failed_too});
  CARAT_TRY(Statement metrics,
            database_->prepare("SELECT name, value FROM metrics WHERE record = ? ORDER BY position"));
  std::vector<Record> page;
  while (true) {
    CARAT_TRY(const bool more, s.step());
    if (!more) return page;
    CARAT_TRY(Record r, read_record(s));
    metrics.bind(s.integer(0));
    while (true) {
      CARAT_TRY(const bool another, metrics.step());
      if (!another) break;
      r.metrics.emplace_back(metrics.text(0), metrics.number(1));
    }
    metrics.reset();
    page.push_back(std::move(r));
  }
}

Status SqliteStore::for_each_record(int64_t run, const std::function<Status(Record&&)>& sink,
                                    bool failed_too) {
  Record last;
  for (bool is_first = true;; is_first = false) {
    CARAT_TRY(std::vector<Record> page, page_after(run, failed_too, is_first ? nullptr : &last));
    if (page.empty()) return {};
    last.task = page.back().task;
    last.item = page.back().item;
    last.repeat = page.back().repeat;
    const bool is_last = page.size() < kPage;
    for (Record& r : page) CARAT_DO(sink(std::move(r)));
    if (is_last) return {};
  }
}

Result<Scorecard> SqliteStore::card(int64_t run, bool with_records) {
  Scorecard card;
  {
    const std::scoped_lock lock(mutex_);
    CARAT_TRY(Statement s, database_->prepare("SELECT variant, model, model_digest, settings, reference, "
                                              "suite, suite_version, suite_digest, provenance, "
                                              "performance, file_bytes, complete FROM runs WHERE run = ?"));
    CARAT_TRY(const bool found, s.bind(run).step());
    if (!found) return no_such_run(run);
    card.run = run;
    card.variant.name = s.text(0);
    card.variant.model = s.text(1);
    card.variant.model_digest = s.text(2);
    CARAT_TRY(card.variant.settings, object(s.text(3)));
    card.reference = s.text(4);
    card.suite = s.text(5);
    card.suite_version = s.text(6);
    card.suite_digest = s.text(7);
    CARAT_TRY(card.provenance, object(s.text(8)));
    CARAT_TRY(card.performance, object(s.text(9)));
    card.file_bytes = s.integer(10);
    card.complete = s.integer(11) != 0;

    CARAT_TRY(Statement scores,
              database_->prepare("SELECT task, dimension, slice, metric, mean, standard_error, low, high, "
                                 "scored, clusters, items, unscored, "
                                 "failed FROM scores WHERE run = ? ORDER BY position"));
    scores.bind(run);
    while (true) {
      CARAT_TRY(const bool more, scores.step());
      if (!more) break;
      SliceScore& score = card.scores.emplace_back();
      score.task = scores.text(0);
      score.dimension = scores.text(1);
      score.slice = scores.text(2);
      score.metric = scores.text(3);
      score.value = {scores.number(4),
                     scores.number(5),
                     {scores.number(6), scores.number(7)},
                     scores.integer(8),
                     scores.integer(9)};
      score.items = scores.integer(10);
      score.unscored = scores.integer(11);
      score.failed = scores.integer(12);
    }
  }
  const auto keep = [&](Record&& r) -> Status {
    card.records.push_back(std::move(r));
    return {};
  };
  if (with_records) CARAT_DO(for_each_record(run, keep, true));
  return card;
}

Result<int64_t> SqliteStore::find_run(std::string_view reference, std::string_view suite) {
  const std::scoped_lock lock(mutex_);
  int64_t number = 0;
  const auto [end, failure] = std::from_chars(reference.data(), reference.data() + reference.size(), number);
  if (failure == std::errc{} && end == reference.data() + reference.size()) {
    CARAT_TRY(Statement s, database_->prepare("SELECT run FROM runs WHERE run = ?"));
    CARAT_TRY(const bool found, s.bind(number).step());
    if (found) return number;
  }
  CARAT_TRY(Statement s,
            database_->prepare("SELECT run, complete, suite, (SELECT count(*) FROM records WHERE "
                               "records.run = runs.run) FROM runs WHERE variant = ?1 AND (?2 = '' "
                               "OR suite = ?2 OR suite_digest = ?2) "
                               "ORDER BY complete DESC, run DESC LIMIT 1"));
  CARAT_TRY(const bool found, s.bind(reference).bind(suite).step());
  const std::string of_suite = suite.empty() ? "" : fmt::format(" with suite {}", quote(suite));
  if (found && s.integer(1) != 0) return s.integer(0);
  if (found)
    return error(
        Code::no_input,
        "{}: variant {}{} has no complete run; run {} on suite {} is unfinished, with {} answers: the "
        "`carat evaluate` command that began it goes on with it, and {} in place of the name takes it "
        "as it is",
        path_, quote(reference), of_suite, s.integer(0), quote(s.text(2)), s.integer(3), s.integer(0));
  CARAT_TRY(Statement names,
            database_->prepare("SELECT variant FROM runs GROUP BY variant ORDER BY max(run) DESC LIMIT 10"));
  std::string known;
  while (true) {
    CARAT_TRY(const bool more, names.step());
    if (!more) break;
    known += (known.empty() ? "" : ", ") + quote(names.text(0));
  }
  return error(Code::no_input, "{}: no run {}{}; {}", path_, quote(reference), of_suite,
               known.empty() ? "the store is empty" : "its latest variants are " + known);
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const std::string& path) {
  CARAT_TRY(auto database, open_store_file(path));
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(path, std::move(database)));
}

std::string default_store_path() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  if (const std::string path = variable("CARAT_STORE"); !path.empty()) return path;
  std::string state = variable("XDG_STATE_HOME");
  if (state.empty()) state = variable("HOME") + "/.local/state";
  return state + "/carat/scores.sqlite";
}

}  // namespace carat
