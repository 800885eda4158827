// carat suite: what exams there are, what they ask, whether a file is one, and public data sets as exams.
#include <map>
#include <memory>

#include "cli/checks.h"
#include "cli/format.h"
#include "cli/verb.h"
#include "suites/canonical.h"
#include "suites/catalogue.h"
#include "suites/import.h"
#include "suites/suite.h"
#include "suites/suite_file.h"

namespace carat {
namespace {

struct Words {
  std::string suite, task, item, format, output, name, split;
  std::vector<std::string> files;
  int64_t limit = 0, count = 1;
};

Status list(Invocation& run) {
  json::array suites;
  std::string text;
  const auto entries = suites_in(suite_directories());
  size_t width = 0;
  for (const SuiteEntry& e : entries) width = std::max(width, e.name.size());
  for (const SuiteEntry& e : entries) {
    const auto read = read_suite_file(e.path + "/suite.toml");
    if (!read.ok()) {  // the others are there all the same
      run.console.note(printable(read.error().message));
      continue;
    }
    const SuiteFile& file = *read;
    suites.push_back({{"name", e.name},
                      {"path", e.path},
                      {"version", file.version},
                      {"description", file.description},
                      {"license", file.license},
                      {"tasks", file.tasks.size()}});
    text +=
        fmt::format("{:<{}}  version {}, {} task{}: {}\n", printable(e.name), width, printable(file.version),
                    file.tasks.size(), file.tasks.size() == 1 ? "" : "s", printable(file.description));
  }
  if (entries.empty()) text = fmt::format("no suites found in: {}\n", fmt::join(suite_directories(), ", "));
  if (run.console.json()) return run.console.print_json({{"suites", std::move(suites)}});
  return run.console.print(text);
}

Result<size_t> find_task(const Suite& suite, const std::string& name) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < suite.tasks().size(); ++i) {
    if (suite.tasks()[i].name == name) return i;
    names.push_back(suite.tasks()[i].name);
  }
  return usage_error("the suite has no task '{}', only {}", name, fmt::join(names, ", "));
}

std::string shown(const Item& item) {
  std::string out = fmt::format("--- {}", printable(item.id));
  if (item.cluster != item.id) out += fmt::format(", cluster {}", printable(item.cluster));
  for (const std::string& slice : item.slices) out += fmt::format(", {}", printable(slice));
  out += '\n';
  const auto add = [&](std::string_view label, std::string_view text) {
    if (!text.empty()) out += fmt::format("[{}]\n{}\n", label, printable(text));
  };
  add("text", item.text);
  for (const std::string& context : item.contexts) add("context", context);
  for (size_t i = 0; i < item.choices.size(); ++i)
    add(static_cast<int64_t>(i) == item.gold ? "choice, right" : "choice", item.choices[i]);
  for (const Turn& turn : item.turns) add(turn.role, turn.content);
  add("prompt", item.prompt);
  if (!item.tools.empty()) add("tools", pretty_json(item.tools));
  if (!item.expected.empty()) add("expected", pretty_json(item.expected));
  return out;
}

/// The items of one task as a model gets them.
Status show_items(const Suite& suite, const Words& words, Invocation& run) {
  CARAT_TRY(const size_t task, find_task(suite, words.task));
  json::array items;
  int64_t left = words.item.empty() ? words.count : 1;
  const Status read = suite.for_each(task, [&](Item&& item) -> Status {
    CARAT_DO(run.context.check());
    if (left == 0 || (!words.item.empty() && item.id != words.item)) return {};
    --left;
    if (!run.console.json()) return run.console.print(shown(item));
    items.push_back(to_json(item));
    return {};
  });
  CARAT_DO(read);
  if (!words.item.empty() && left == 1)
    return usage_error("task '{}' has no item '{}'", words.task, words.item);
  return run.console.print_json({{"suite", suite.name()}, {"task", words.task}, {"items", std::move(items)}});
}

Status show(const Words& words, Invocation& run) {
  CARAT_TRY(const std::string path, find_suite(words.suite));
  CARAT_TRY(const auto suite, open_suite(run.context, path));
  if (!words.task.empty()) return show_items(*suite, words, run);
  json::array tasks;
  std::string text = fmt::format("{} version {}\n", printable(suite->name()), printable(suite->version()));
  if (!suite->description().empty()) text += fmt::format("  {}\n", printable(suite->description()));
  if (!suite->license().empty()) text += fmt::format("  license  {}\n", printable(suite->license()));
  text += fmt::format("  digest   {}\n", suite->digest());
  for (size_t t = 0; t < suite->tasks().size(); ++t) {
    const Task& task = suite->tasks()[t];
    std::map<std::string, int64_t> slices;
    CARAT_DO(suite->for_each(t, [&](Item&& item) {
      for (const std::string& slice : item.slices) ++slices[slice];
      return run.context.check();
    }));
    json::object row = to_json(task);
    row["items"] = suite->items(t);
    json::object counts;
    for (const auto& [slice, count] : slices) counts[slice] = count;
    row["slices"] = std::move(counts);
    tasks.push_back(std::move(row));
    text += fmt::format("\n{}: {} {} item{}, dimension {}\n", printable(task.name), suite->items(t),
                        name_of(task.kind), suite->items(t) == 1 ? "" : "s", printable(task.dimension));
    if (!task.check.empty()) text += fmt::format("  check    {}\n", task.check);
    text += fmt::format("  metrics  {}\n", fmt::join(task.metrics, ", "));
    constexpr size_t most = 12;
    size_t said = 0;
    for (const auto& [slice, count] : slices) {
      if (said++ == most) break;
      text += fmt::format("  {}  {} ({})\n", said == 1 ? "slices " : "       ", printable(slice), count);
    }
    if (slices.size() > most) text += fmt::format("           and {} more\n", slices.size() - most);
  }
  if (run.console.json())
    return run.console.print_json({{"name", suite->name()},
                                   {"version", suite->version()},
                                   {"description", suite->description()},
                                   {"license", suite->license()},
                                   {"digest", suite->digest()},
                                   {"tasks", std::move(tasks)}});
  return run.console.print(text);
}

Status check(const Words& words, Invocation& run) {
  CARAT_TRY(const std::string path, find_suite(words.suite));
  CARAT_TRY(const auto suite, open_suite(run.context, path));
  int64_t items = 0;
  for (size_t t = 0; t < suite->tasks().size(); ++t) items += suite->items(t);
  if (run.console.json())
    return run.console.print_json({{"suite", suite->name()},
                                   {"ok", true},
                                   {"tasks", suite->tasks().size()},
                                   {"items", items},
                                   {"digest", suite->digest()}});
  return run.console.print(fmt::format("{}: good, {} task{}, {} items\n  digest  {}\n", printable(path),
                                       suite->tasks().size(), suite->tasks().size() == 1 ? "" : "s", items,
                                       suite->digest()));
}

Status import(const Words& words, Invocation& run) {
  const Importer* importer = find_importer(words.format);
  if (!importer) {
    std::vector<std::string_view> names;
    for (const Importer& i : importers()) names.push_back(i.name);
    const std::string_view near = nearest_name(words.format, names);
    return usage_error("there is no format '{}'{}; there are {}", words.format,
                       near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near),
                       fmt::join(names, ", "));
  }
  if (!words.split.empty() && importer->name != "text")
    return usage_error("--split is for the format text, not for {}", importer->name);
  const ImportRequest request{words.files, words.name, words.limit, words.split};
  CARAT_TRY(const ImportReport report, import_suite(run.context, *importer, request, words.output));
  if (run.console.json())
    return run.console.print_json({{"output", words.output},
                                   {"items", report.items},
                                   {"available", report.available},
                                   {"digest", report.digest}});
  return run.console.print(fmt::format("{}: {} of {} items\n  digest  {}\n", printable(words.output),
                                       report.items, report.available, report.digest));
}

VerbBody prepare(CLI::App& app) {
  auto words = std::make_shared<Words>();
  auto chosen = std::make_shared<std::function<Status(Invocation&)>>();
  app.require_subcommand(1);
  app.get_formatter()->label("SUBCOMMAND", "ACTION ...");
  const auto action = [&](const char* name, const char* purpose, auto body) {
    CLI::App* sub = app.add_subcommand(name, purpose);
    sub->fallthrough();  // the options every verb has
    sub->group("Actions");
    sub->callback([=] { *chosen = body; });
    return sub;
  };
  const auto suite_argument = [&](CLI::App* sub) {
    sub->add_option("SUITE", words->suite, "Directory, suite.toml or the name of a suite that `list` shows")
        ->type_name("")
        ->required();
  };
  action("list", "The suites that come with carat or lie in $CARAT_SUITES", list);
  CLI::App* sub = action("show", "Tasks, metrics and slices of a suite, or items as a model gets them",
                         [words](Invocation& run) { return show(*words, run); });
  suite_argument(sub);
  sub->add_option("TASK", words->task, "Show items of this task")->type_name("");
  sub->add_option("-n,--items", words->count, "How many (default 1)")
      ->check(whole_number(1, 1 << 30))
      ->type_name("N");
  sub->add_option("--item", words->item, "The item of this id")->type_name("ID");
  sub = action("check", "Read all of a suite and say what is wrong with it",
               [words](Invocation& run) { return check(*words, run); });
  suite_argument(sub);
  sub = action("import", "Make a suite of public data",
               [words](Invocation& run) { return import(*words, run); });
  sub->add_option("FORMAT", words->format, "One of those below")->type_name("")->required();
  sub->add_option("FILE", words->files, "Files of the data set")->type_name("")->required();
  sub->add_option("-o,--output", words->output, "Directory to write; must not exist")
      ->type_name("DIR")
      ->required();
  sub->add_option("--limit", words->limit, "Take so many items, spread evenly over the files")
      ->check(whole_number(1, 1 << 30))
      ->type_name("N");
  sub->add_option("--name", words->name, "Name of suite and task (default: the format's)")->type_name("NAME");
  sub->add_option("--split", words->split, "text: documents end at file, blank (line) or heading")
      ->type_name("WHERE");
  std::string formats = "Formats:\n";
  for (const Importer& i : importers()) formats += fmt::format("  {:<16} {}\n", i.name, i.purpose);
  sub->footer(formats);
  return [chosen](Invocation& run) { return (*chosen)(run); };
}

}  // namespace

const Verb suite_verb = {"suite", "Exams: list, show and check suites, import public data sets",
                         "docs/suites.md describes the files.\n\n"
                         "Examples:\n"
                         "  carat suite list\n"
                         "  carat suite show core\n"
                         "  carat suite show core mmlu -n 3\n"
                         "  carat suite check my-suite/\n"
                         "  carat suite import mmlu dev/*.csv test/*.csv --limit 500 -o mmlu",
                         prepare};

}  // namespace carat
