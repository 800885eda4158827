#include "suites/suite_file.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "containers/quote.h"
#include "containers/toml_table.h"

namespace carat {

namespace {

constexpr std::string_view kPerplexityMetrics[] = {"nll", "bits_per_byte", "kl", "same_top"};
constexpr std::string_view kChoiceMetrics[] = {"acc",      "acc_norm", "acc_chars",
                                               "gold_nll", "greedy",   "chance"};
constexpr std::string_view kGenerateMetrics[] = {"tokens", "truncated", "looped", "gold_nll"};
constexpr std::pair<std::string_view, TaskKind> kKinds[] = {
    {"perplexity", TaskKind::perplexity}, {"choice", TaskKind::choice}, {"generate", TaskKind::generate}};
constexpr size_t kMostTasks = 1000;
constexpr size_t kLongestName = 100;

/// Fields that hold a structure: a template for them gives JSON.
constexpr std::string_view kTextFields[] = {"id", "text", "context", "continuation", "gold", "prompt"};
constexpr std::string_view kListFields[] = {"contexts", "choices", "turns"};

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::ranges::none_of(name, [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

/// Files of a suite lie in its directory: a suite from elsewhere may not have others read and sent to a
/// model.
bool is_inside(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string_view::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (path.substr(begin, end - begin) == "..") return false;
    begin = end + 1;
  }
  return true;
}

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  Result<SuiteFile> read(const toml::table& root_table) {
    SuiteFile suite;
    suite.path = path_;
    const size_t slash = path_.rfind('/');
    suite.directory = slash == std::string::npos ? "" : path_.substr(0, slash + 1);
    TomlTable root(root_table, path_, "suite file");
    CARAT_TRY(auto head, root.table("suite"));
    if (!head) return bad_data("{}: needs a table [suite] with a name", path_);
    CARAT_DO(read_head(*head, suite));
    const toml::node* tasks = root.find("task");
    CARAT_DO(root.finish());
    const toml::array* list = tasks ? tasks->as_array() : nullptr;
    if (!list || list->empty()) return root.mistake("task", "needs tasks, each a table [[task]]");
    if (list->size() > kMostTasks) return root.mistake("task", fmt::format("more than {} tasks", kMostTasks));
    std::unordered_set<std::string> names;
    for (const toml::node& node : *list) {
      const toml::table* table = node.as_table();
      if (!table) return root.mistake("task", "write tasks as [[task]], with two brackets");
      CARAT_TRY(TaskFile task, read_task(*table));
      if (!names.insert(task.task.name).second)
        return bad_data("{}:{}: there are two tasks {}", path_, task.line, quote(task.task.name));
      suite.tasks.push_back(std::move(task));
    }
    return suite;
  }

 private:
  Status read_head(TomlTable& head, SuiteFile& suite) {
    CARAT_TRY(suite.name, head.needed_text("name"));
    if (!is_name(suite.name)) return head.mistake("name", "'name' is too long or holds control characters");
    CARAT_TRY(auto version, head.text("version"));
    suite.version = version.value_or("1");
    CARAT_TRY(auto description, head.text("description"));
    suite.description = description.value_or("");
    CARAT_TRY(auto license, head.text("license"));
    suite.license = license.value_or("");
    return head.finish();
  }

  Result<TaskFile> read_task(const toml::table& raw) {
    TaskFile out;
    TomlTable table(raw, path_, "[[task]]");
    CARAT_TRY(out.task.name, table.needed_text("name"));
    if (!is_name(out.task.name))
      return table.mistake("name", "'name' is too long or holds control characters");
    table = TomlTable(raw, path_, "task " + quote(out.task.name));
    table.find("name");
    out.line = table.line();
    CARAT_TRY(auto dimension, table.text("dimension"));
    out.task.dimension = dimension.value_or(out.task.name);
    if (!is_name(out.task.dimension))
      return table.mistake("dimension", "'dimension' is empty, too long or holds control characters");
    CARAT_TRY(const std::string kind, table.needed_text("kind"));
    const auto* found = std::ranges::find(kKinds, kind, &std::pair<std::string_view, TaskKind>::first);
    if (found == std::end(kKinds))
      return table.mistake(
          "kind", fmt::format("there is no kind {}, only perplexity, choice and generate", quote(kind)));
    out.task.kind = found->second;
    CARAT_DO(read_check(table, out));
    CARAT_DO(read_metrics(table, out));
    CARAT_DO(read_generation(table, out.task));
    CARAT_DO(read_items(table, out));
    CARAT_DO(read_forms(table, out));
    CARAT_DO(read_few_shot(table, out));
    CARAT_DO(table.finish());
    return out;
  }

  Status read_check(TomlTable& table, TaskFile& out) {
    CARAT_TRY(auto check, table.text("check"));
    CARAT_TRY(auto with, table.table("check_with"));
    const bool generate = out.task.kind == TaskKind::generate;
    if (!generate && (check || with))
      return table.mistake(check ? "check" : "check_with", "only tasks of kind generate have a check");
    if (!generate) return {};
    if (!check) return table.mistake({}, "a task of kind generate needs 'check'");
    out.task.check = *check;
    const CheckKind* kind = find_check_kind(*check);
    if (!kind) {
      std::vector<std::string_view> names;
      for (const CheckKind& k : check_kinds()) names.push_back(k.name);
      return table.mistake(
          "check", fmt::format("there is no check {}, only {}", quote(*check), fmt::join(names, ", ")));
    }
    if (with) {
      auto settings = json_of_toml(with->raw());
      if (!settings.ok()) return table.mistake("check_with", settings.error().message);
      out.task.check_with = settings->as_object();
    }
    auto made = kind->make(out.task.check_with);
    if (!made.ok()) return table.mistake(with ? "check_with" : "check", made.error().message);
    out.check = *std::move(made);
    return {};
  }

  Status read_metrics(TomlTable& table, TaskFile& out) {
    const auto general = metrics_of(out.task.kind);
    std::vector<std::string_view> known;
    if (const CheckKind* kind = find_check_kind(out.task.check); kind && !out.task.check.empty())
      known.assign(kind->metrics.begin(), kind->metrics.end());
    known.insert(known.end(), general.begin(), general.end());
    CARAT_TRY(out.task.metrics, table.texts("metrics"));
    out.default_metrics = out.task.metrics.empty();
    if (out.default_metrics && out.task.kind != TaskKind::choice)
      for (const std::string_view name : known)
        if (name != "gold_nll") out.task.metrics.emplace_back(name);
    std::unordered_set<std::string_view> seen;
    for (const std::string& name : out.task.metrics) {
      if (std::ranges::find(known, name) == known.end())
        return table.mistake("metrics", fmt::format("there is no metric {} here, only {}", quote(name),
                                                    fmt::join(known, ", ")));
      if (!seen.insert(name).second)
        return table.mistake("metrics", fmt::format("the metric {} is named twice", quote(name)));
    }
    return {};
  }

  Status read_generation(TomlTable& table, Task& task) {
    CARAT_TRY(auto found, table.table("generation"));
    if (!found) return {};
    if (task.kind != TaskKind::generate)
      return table.mistake("generation", "only tasks of kind generate have 'generation'");
    GenerationSettings& g = task.generation;
    constexpr int64_t many = int64_t{1} << 53;
    const auto set = [](auto& member, const auto& value) {
      if (value) member = static_cast<std::remove_reference_t<decltype(member)>>(*value);
    };
    CARAT_TRY(const auto max_tokens, found->integer("max_tokens", 1, 1 << 20));
    CARAT_TRY(const auto temperature, found->number("temperature", 0, 100));
    CARAT_TRY(const auto top_p, found->number("top_p", 0, 1));
    CARAT_TRY(const auto min_p, found->number("min_p", 0, 1));
    CARAT_TRY(const auto top_k, found->integer("top_k", 0, 1 << 20));
    CARAT_TRY(const auto seed, found->integer("seed", 0, many));
    CARAT_TRY(const auto repeats, found->integer("repeats", 1, 10000));
    CARAT_TRY(const auto chat, found->flag("chat"));
    CARAT_TRY(auto system, found->text("system"));
    CARAT_TRY(g.stop, found->texts("stop"));
    set(g.max_tokens, max_tokens), set(g.temperature, temperature), set(g.top_p, top_p), set(g.min_p, min_p);
    set(g.top_k, top_k), set(g.seed, seed), set(g.repeats, repeats), set(g.chat, chat);
    g.system = system.value_or("");
    if (std::ranges::find(g.stop, "") != g.stop.end())
      return found->mistake("stop", "'stop' holds an empty string");
    if (!g.chat && !g.system.empty())
      return found->mistake("system", "'system' is for chat, which is false here");
    return found->finish();
  }

  Status read_items(TomlTable& table, TaskFile& out) {
    CARAT_TRY(out.files, table.texts("items"));
    CARAT_TRY(auto generate, table.table("generate"));
    CARAT_TRY(out.slice_by, table.texts("slice_by"));
    CARAT_TRY(auto cluster_by, table.text("cluster_by"));
    CARAT_TRY(auto delimiter, table.text("delimiter"));
    out.cluster_by = cluster_by.value_or("");
    if (delimiter) out.task.delimiter = *delimiter;
    if (out.files.empty() == !generate)
      return table.mistake({}, "needs either 'items', a JSONL file, or 'generate', a table");
    for (const std::string& file : out.files)
      if (!is_inside(file))
        return table.mistake("items", fmt::format("{} is not within the suite's directory", quote(file)));
    if (!generate) return {};
    if (out.task.kind != TaskKind::generate)
      return table.mistake("generate", "generated items need the kind generate");
    out.generated.emplace();
    CARAT_TRY(const std::string kind, generate->needed_text("kind"));
    const LongContext::Kind* found = find_long_context(kind);
    if (!found)
      return generate->mistake(
          "kind", fmt::format("there is no kind {}, only {}", quote(kind), long_context_names()));
    out.generated->kind = *found;
    CARAT_TRY(auto lengths, generate->integers("lengths", 256, 131072));
    CARAT_TRY(const auto count, generate->integer("count", 1, 100000));
    CARAT_TRY(const auto seed, generate->integer("seed", 0, int64_t{1} << 53));
    if (!lengths.empty()) out.generated->lengths = std::move(lengths);
    if (std::unordered_set<int64_t>(out.generated->lengths.begin(), out.generated->lengths.end()).size() !=
        out.generated->lengths.size())
      return generate->mistake("lengths", "a length is named twice");
    out.generated->count = count.value_or(out.generated->count);
    out.generated->seed = static_cast<uint64_t>(seed.value_or(1));
    return generate->finish();
  }

  Result<ItemTemplate> parse_template(const TomlTable& table, std::string_view key,
                                      const std::string& source) {
    auto parsed = ItemTemplate::parse(source);
    if (!parsed.ok())
      return table.mistake(key, fmt::format("the template of '{}': {}", key, parsed.error().message));
    return parsed;
  }

  Status read_forms(TomlTable& table, TaskFile& out) {
    const auto add = [&](std::string_view field, FieldForm::Shape shape,
                         const std::vector<std::pair<std::string, std::string>>& sources) -> Status {
      FieldForm form{shape, std::string(field), {}};
      for (const auto& [name, source] : sources) {
        CARAT_TRY(ItemTemplate t, parse_template(table, field, source));
        form.parts.emplace_back(name, std::move(t));
      }
      out.forms.push_back(std::move(form));
      return {};
    };
    for (const std::string_view field : kTextFields) {
      CARAT_TRY(const auto source, table.text(field));
      if (source) CARAT_DO(add(field, FieldForm::one, {{"", *source}}));
    }
    for (const std::string_view field : kListFields) {
      const toml::node* node = table.find(field);
      if (!node) continue;
      CARAT_TRY(const auto sources, table.texts(field));
      std::vector<std::pair<std::string, std::string>> parts;
      for (const std::string& s : sources) parts.emplace_back("", s);
      CARAT_DO(add(field, node->is_string() ? FieldForm::one : FieldForm::list, parts));
    }
    CARAT_TRY(const auto tools, table.text("tools"));
    if (tools) CARAT_DO(add("tools", FieldForm::one, {{"", *tools}}));
    if (const toml::node* node = table.find("expected"); node && node->is_string()) {
      CARAT_DO(add("expected", FieldForm::one, {{"", *node->value<std::string>()}}));
    } else if (node) {
      const toml::table* members = node->as_table();
      if (!members) return table.mistake("expected", "'expected' must be a template or a table of templates");
      std::vector<std::pair<std::string, std::string>> parts;
      for (const auto& [key, value] : *members) {
        if (!value.is_string())
          return table.mistake("expected",
                               fmt::format("'expected': {} must be a template, a string", quote(key.str())));
        parts.emplace_back(key.str(), *value.value<std::string>());
      }
      CARAT_DO(add("expected", FieldForm::members, parts));
    }
    CARAT_TRY(const auto preamble, table.text("preamble"));
    if (preamble) {
      CARAT_TRY(out.preamble, parse_template(table, "preamble", *preamble));
    }
    if (out.generated &&
        (!out.forms.empty() || out.preamble || !out.slice_by.empty() || !out.cluster_by.empty()))
      return table.mistake("generate", "generated items have neither templates nor fields");
    return {};
  }

  Status read_few_shot(TomlTable& table, TaskFile& out) {
    CARAT_TRY(auto found, table.table("few_shot"));
    if (!found) return {};
    if (out.task.kind == TaskKind::perplexity || out.generated)
      return table.mistake("few_shot", "only choice and generate tasks with 'items' have examples");
    FewShot shots;
    CARAT_TRY(shots.file, found->needed_text("items"));
    if (!is_inside(shots.file))
      return found->mistake("items",
                            fmt::format("{} is not within the suite's directory", quote(shots.file)));
    if (std::ranges::find(out.files, shots.file) != out.files.end())
      return found->mistake("items", "examples from the file of the questions would give their answers away");
    CARAT_TRY(const auto count, found->integer("count", 1, 1000));
    if (!count) return found->mistake({}, "needs 'count', the number of examples");
    shots.count = *count;
    CARAT_TRY(auto separator, found->text("separator"));
    if (separator) shots.separator = *separator;
    CARAT_TRY(auto match, found->text("match"));
    shots.match = match.value_or("");
    CARAT_TRY(const auto answer, found->text("answer"));
    if (answer) {
      CARAT_TRY(shots.answer, parse_template(*found, "answer", *answer));
    }
    out.few_shot = std::move(shots);
    return found->finish();
  }

  std::string path_;
};

}  // namespace

std::span<const std::string_view> metrics_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::perplexity:
      return kPerplexityMetrics;
    case TaskKind::choice:
      return kChoiceMetrics;
    case TaskKind::generate:
      return kGenerateMetrics;
  }
  return {};
}

std::string_view name_of(TaskKind kind) {
  return std::ranges::find(kKinds, kind, &std::pair<std::string_view, TaskKind>::second)->first;
}

Result<SuiteFile> parse_suite_file(std::string_view text, const std::string& path) {
  CARAT_TRY(const toml::table root, parse_toml(text, path));
  return Reader(path).read(root);
}

Result<SuiteFile> read_suite_file(const std::string& path) {
  CARAT_TRY(const toml::table root, read_toml(path));
  return Reader(path).read(root);
}

}  // namespace carat
