// A suite in a directory: what suite.toml says, and its items read line by line, as often as they are asked
// for.
#include <sys/stat.h>

#include <unordered_set>

#include "containers/quote.h"
#include "suites/canonical.h"
#include "suites/item_reader.h"
#include "suites/line_reader.h"
#include "suites/suite_file.h"

namespace carat {

namespace {

using Sink = std::function<Status(Item&&)>;
using LineSink = std::function<Status(Item&&, const std::string& place)>;

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// What accuracy is called where there is but one continuation to be right about.
void set_default_metrics(const Item& first, TaskFile& task) {
  if (!task.default_metrics || task.task.kind != TaskKind::choice) return;
  if (first.choices.size() == 1)
    task.task.metrics = {"greedy", "gold_nll"};
  else
    task.task.metrics = {"acc", "acc_norm", "gold_nll", "chance"};
}

class FileSuite final : public Suite {
 public:
  explicit FileSuite(SuiteFile file) : file_(std::move(file)), states_(file_.tasks.size()) {}

  const std::string& name() const override { return file_.name; }
  const std::string& version() const override { return file_.version; }
  std::string description() const override { return file_.description; }
  std::string license() const override { return file_.license; }
  const std::string& digest() const override { return digest_; }
  const std::vector<Task>& tasks() const override { return tasks_; }
  int64_t items(size_t task) const override { return counts_[task]; }

  Status for_each(size_t task, const Sink& sink) const override {
    if (file_.tasks[task].generated) return generate(file_.tasks[task], sink);
    int64_t number = 0;
    for (size_t i = 0; i < states_[task].size(); ++i) {
      const FileState& opened = states_[task][i];
      const std::string path = file_.directory + file_.tasks[task].files[i];
      CARAT_TRY(auto lines, LineReader::open(path));
      const Error changed = bad_data("{}: changed since the suite was opened; start again", path);
      if (!lines->state().same_stamp(opened)) return changed;
      CARAT_DO(read_lines(*lines, readers_[task], number,
                          [&](Item&& item, const std::string&) { return sink(std::move(item)); }));
      if (lines->state().sum != opened.sum) return changed;
    }
    return {};
  }

  /// Reads everything once: counts, digest, mistakes.
  Status read_all(const Context& context) {
    Sha256 digest;
    digest.update("carat suite 1\n");
    for (size_t t = 0; t < file_.tasks.size(); ++t) CARAT_DO(read_task(context, t, digest));
    digest_ = digest.hex();
    return {};
  }

 private:
  Status read_task(const Context& context, size_t t, Sha256& digest) {
    TaskFile& task = file_.tasks[t];
    CARAT_TRY(ItemReader reader, ItemReader::open(file_.directory, task));
    readers_.push_back(std::move(reader));
    std::string canonical;
    const auto add = [&](const json::object& object) {
      canonical.clear();
      append_canonical(object, canonical);
      canonical += '\n';
      digest.update(canonical);
    };
    std::unordered_set<uint64_t> ids;  // sums, so that memory is small whatever the ids are
    const LineSink take = [&](Item&& item, const std::string& place) -> Status {
      CARAT_DO(context.check());
      if (ids.empty()) {
        set_default_metrics(item, task);
        add(to_json(task.task));
      }
      if (!ids.insert(xxh3(bytes_of(item.id))).second)
        return bad_data("{}: the id {} is there twice in task {}", place, quote(item.id),
                        quote(task.task.name));
      add(to_json(item));
      return {};
    };
    if (task.generated) {
      const std::string place = fmt::format("{}:{}", file_.path, task.line);
      const Status made = generate(task, [&](Item&& item) { return take(std::move(item), place); });
      if (!made) return Error(made.error()).within(place);
    }
    int64_t number = 0;
    for (const std::string& file : task.files) {
      CARAT_TRY(auto lines, LineReader::open(file_.directory + file));
      CARAT_DO(read_lines(*lines, readers_[t], number, take));
      states_[t].push_back(lines->state());
    }
    if (ids.empty())
      return bad_data("{}:{}: task {} has no items", file_.path, task.line, quote(task.task.name));
    counts_.push_back(static_cast<int64_t>(ids.size()));
    tasks_.push_back(task.task);
    return {};
  }

  static Status generate(const TaskFile& task, const Sink& sink) {
    return make_long_context(*task.generated, [&](Item&& item) -> Status {
      CARAT_DO(complete_item(task, item));
      return sink(std::move(item));
    });
  }

  /// `number` counts the items of a task over its files.
  static Status read_lines(LineReader& lines, const ItemReader& reader, int64_t& number,
                           const LineSink& sink) {
    std::string_view line;
    for (;;) {
      CARAT_TRY(const bool more, lines.next(line));
      if (!more) return {};
      if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
      auto item = reader.read(line, ++number);
      const std::string place = fmt::format("{}:{}", lines.path(), lines.number());
      if (!item.ok()) return std::move(item).error().within(place);
      CARAT_DO(sink(*std::move(item), place));
    }
  }

  SuiteFile file_;
  std::vector<ItemReader> readers_;             ///< refer to file_.tasks
  std::vector<std::vector<FileState>> states_;  ///< of each task's files when they were read
  std::vector<Task> tasks_;
  std::vector<int64_t> counts_;
  std::string digest_;
};

}  // namespace

Result<std::shared_ptr<const Suite>> open_suite(const Context& context, const std::string& path) {
  struct stat s {};
  const bool directory = ::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
  const std::string within = path.ends_with('/') ? path : path + "/";
  CARAT_TRY(SuiteFile file, read_suite_file(directory ? within + "suite.toml" : path));
  auto suite = std::make_shared<FileSuite>(std::move(file));
  CARAT_DO(suite->read_all(context));
  return std::shared_ptr<const Suite>(std::move(suite));
}

}  // namespace carat
