#include "evaluate/runner.h"

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "base/stopwatch.h"
#include "cards/valid_json.h"
#include "containers/quote.h"
#include "evaluate/ask.h"

namespace carat {
namespace {

/// Requests in a row that may fail before a run gives up: an endpoint that is gone stays gone.
constexpr int64_t failures_in_a_row = 20;
constexpr int64_t largest_batch = 512;
constexpr int64_t batch_text_bytes = 8 << 20;

uint64_t record_key(std::string_view task, std::string_view item, int64_t repeat) {
  const std::string text = fmt::format("{}\n{}\n{}", task, repeat, item);
  return xxh3({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

int64_t text_bytes(const Item& item) {
  size_t bytes = item.text.size() + item.prompt.size();
  for (const auto* texts : {&item.contexts, &item.choices})
    for (const std::string& text : *texts) bytes += text.size();
  for (const Turn& turn : item.turns) bytes += turn.content.size();
  return static_cast<int64_t>(bytes);
}

/// What the work inside a batch says of its own progress would hide the run's; what it notes is passed on.
class NotesOnly final : public Progress {
 public:
  explicit NotesOnly(Progress& outer) : outer_(outer) {}
  void note(std::string_view sentence) override { outer_.note(sentence); }

 private:
  Progress& outer_;
};

/// One task's way through a run.
class TaskRun {
 public:
  TaskRun(const Examination& exam, Progress& progress, Store& store, int64_t run,
          const std::vector<uint64_t>& done, int64_t repeats, double batch_seconds, int64_t& batch,
          RunTotals& totals)
      : exam_(exam),
        progress_(progress),
        store_(store),
        run_(run),
        done_(done),
        repeats_(repeats),
        batch_seconds_(batch_seconds),
        batch_(batch),
        totals_(totals) {}

  Status take(Item&& item) {
    CARAT_DO(exam_.context.check());
    for (int64_t r = 0; r < repeats_; ++r) {
      if (std::ranges::binary_search(done_, record_key(exam_.task.name, item.id, r))) {
        ++totals_.already_there;
        progress_.update(++finished_, "");
        continue;
      }
      pending_bytes_ += text_bytes(item);
      pending_.push_back({item, r});
    }
    const bool full = static_cast<int64_t>(pending_.size()) >= batch_ || pending_bytes_ >= batch_text_bytes;
    return full ? flush() : Status();
  }

  Status flush() {
    if (pending_.empty()) return {};
    const Stopwatch watch;
    std::vector<Record> records(pending_.size());
    switch (exam_.task.kind) {
      case TaskKind::choice:
        CARAT_DO(ask_choices(exam_, pending_, records));
        break;
      case TaskKind::perplexity:
        CARAT_DO(ask_texts(exam_, pending_, records));
        break;
      case TaskKind::generate:
        CARAT_DO(ask_generations(exam_, pending_, records));
        break;
    }
    // What endpoints say of errors may be bytes of any kind.
    for (Record& record : records) {
      record.answer = json_text(record.answer);
      record.reason = json_text(record.reason);
      put_first(record);
    }
    CARAT_DO(store_.add(run_, records));
    adapt(watch.seconds());
    pending_.clear();
    pending_bytes_ = 0;
    return count(records);
  }

 private:
  /// The metrics that the task names come first, in its order: the first of a record is the one that counts.
  void put_first(Record& record) const {
    const auto place = [&](const std::pair<std::string, double>& metric) {
      return std::ranges::find(exam_.task.metrics, metric.first) - exam_.task.metrics.begin();
    };
    std::ranges::stable_sort(record.metrics, {}, place);
  }

  /// The next batch is to take batch_seconds_, as far as this one tells.
  void adapt(double seconds) {
    const int64_t n = static_cast<int64_t>(pending_.size());
    totals_.largest_batch = std::max(totals_.largest_batch, n);
    const double rate = static_cast<double>(n) / std::max(seconds, 1e-4);
    const double next = std::min(rate * batch_seconds_, 4.0 * static_cast<double>(n));
    batch_ = std::clamp<int64_t>(std::llround(next), 1, largest_batch);
  }

  Status count(const std::vector<Record>& records) {
    for (const Record& record : records) {
      ++totals_.records;
      ++finished_;
      totals_.unscored += record.outcome == Outcome::unscored;
      totals_.failed += record.outcome == Outcome::failed;
      totals_.prompt_tokens += record.prompt_tokens;
      totals_.generated_tokens += record.generated_tokens;
      failed_in_a_row_ = record.outcome == Outcome::failed ? failed_in_a_row_ + 1 : 0;
      if (record.outcome == Outcome::scored && !record.metrics.empty()) {
        sum_ += record.weight * record.metrics[0].second;
        shown_metric_ = record.metrics[0].first;
        weight_ += record.weight;
      }
      if (failed_in_a_row_ >= failures_in_a_row)
        return error(Code::io,
                     "{} answers in a row failed, the last so: {}; what was finished is kept, the "
                     "same command goes on from there",
                     failed_in_a_row_, record.reason);
    }
    const std::string mean =
        weight_ > 0 ? fmt::format("{} {:.3f}", shown_metric_, sum_ / weight_) : std::string();
    progress_.update(finished_, mean);
    return {};
  }

  const Examination exam_;
  Progress& progress_;
  Store& store_;
  const int64_t run_;
  const std::vector<uint64_t>& done_;
  const int64_t repeats_;
  const double batch_seconds_;
  int64_t& batch_;
  RunTotals& totals_;
  std::vector<Work> pending_;
  int64_t pending_bytes_ = 0, finished_ = 0, failed_in_a_row_ = 0;
  double sum_ = 0, weight_ = 0;
  std::string shown_metric_;
};

/// Keys of the answers that the store has, sorted.
Result<std::vector<uint64_t>> finished_keys(Store& store, int64_t run) {
  std::vector<uint64_t> done;
  CARAT_DO(store.for_each_record(run, [&](Record&& record) -> Status {
    done.push_back(record_key(record.task, record.item, record.repeat));
    return {};
  }));
  std::ranges::sort(done);
  return done;
}

}  // namespace

Result<std::vector<bool>> chosen_tasks(const Suite& suite, const std::vector<std::string>& names) {
  std::vector<bool> chosen(suite.tasks().size(), names.empty());
  for (const std::string& name : names) {
    const auto found = std::ranges::find(suite.tasks(), name, &Task::name);
    if (found == suite.tasks().end()) {
      std::string known;
      for (const Task& task : suite.tasks()) known += (known.empty() ? "" : ", ") + task.name;
      return usage_error("suite {} has no task {}; it has {}", suite.name(), quote(name), known);
    }
    chosen[found - suite.tasks().begin()] = true;
  }
  return chosen;
}

int64_t repeats_of(const Task& task, const RunOptions& options) {
  if (task.kind != TaskKind::generate) return 1;
  return options.repeats > 0 && task.generation.temperature > 0 ? options.repeats : task.generation.repeats;
}

Result<RunTotals> run_suite(const Context& context, const Suite& suite, Subject& subject, Store& store,
                            int64_t run, const RunOptions& options) {
  const Stopwatch watch;
  CARAT_TRY(const std::vector<bool> chosen, chosen_tasks(suite, options.tasks));
  CARAT_TRY(const std::vector<uint64_t> done, finished_keys(store, run));
  NotesOnly notes(context.progress);
  const Context inner{context.pool, context.cancellation, notes, context.profile};
  RunTotals totals;
  totals.all_selected = std::ranges::all_of(chosen, [](bool c) { return c; });
  for (size_t t = 0; t < suite.tasks().size(); ++t) {
    if (!chosen[t]) continue;
    const Task& task = suite.tasks()[t];
    std::unique_ptr<Check> check;
    if (task.kind == TaskKind::generate) {
      const CheckKind* kind = find_check_kind(task.check);
      if (!kind) return error(Code::internal, "the suite names a check {} that is none", quote(task.check));
      CARAT_TRY(check, kind->make(task.check_with));
    }
    const int64_t all = suite.items(t);
    const int64_t count = options.limit < 0 ? all : std::min(all, options.limit);
    totals.all_selected = totals.all_selected && count == all;
    const int64_t repeats = repeats_of(task, options);

    const Examination exam{inner, subject, task, check.get(), options.judge, options.seed_shift};
    // A document may take as long as hundreds of choices: the first one tells.
    int64_t batch = task.kind == TaskKind::perplexity ? 1 : subject.questions_at_once();
    TaskRun task_run(exam, context.progress, store, run, done, repeats, options.batch_seconds, batch, totals);
    context.progress.begin(fmt::format("{} ({} of {})", task.name, t + 1, suite.tasks().size()), "answers",
                           count * repeats);
    int64_t seen = 0;
    CARAT_DO(suite.for_each(t, [&](Item&& item) -> Status {
      return seen++ < count ? task_run.take(std::move(item)) : context.check();
    }));
    CARAT_DO(task_run.flush());
    context.progress.end();
  }
  totals.seconds = watch.seconds();
  return totals;
}

}  // namespace carat
