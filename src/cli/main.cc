// carat VERB: parses the command line, runs one verb, maps its error to the exit status.
#include <unistd.h>

#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "cli/checks.h"
#include "cli/console.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/machine_notes.h"
#include "cli/verb.h"

namespace carat {
namespace {

constexpr std::string_view kExitCodes =
    "Exit codes: 0 done, 64 usage, 65 bad data in a file, 66 input not found or not readable,\n"
    "            70 internal error, 74 output failed (disk full, no permission), 130 interrupted.";

void add_common_options(CLI::App& app, CommonOptions& common) {
  if (app.get_option_no_throw("--threads") == nullptr)  // bench takes a list
    app.add_option("--threads", common.threads, "Threads to use (default: all this process may use)")
        ->check(whole_number(1, 1024))
        ->type_name("N")
        ->group("Common options");
  app.add_flag("--json", common.json, "Print exactly one JSON document on stdout")->group("Common options");
  app.add_flag("-q,--quiet", common.quiet, "No progress and no notes on stderr")->group("Common options");
}

/// Sentence for an argument nobody asked for: the nearest verb or option, where there is one.
Error unexpected_argument(const CLI::App& app, const std::vector<std::string>& extras) {
  const std::string first = extras.empty() ? "" : extras.front();
  std::vector<std::string> names;
  const bool is_option = first.size() > 1 && first[0] == '-';
  if (is_option) {
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  } else if (app.get_parent() == nullptr) {
    for (const Verb* verb : kVerbs) names.emplace_back(verb->name);
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = nearest_name(first.substr(0, first.find('=')), views);
  const std::string command = app.get_parent() ? "carat " + app.get_name() : "carat";
  const char* kind = is_option ? "option" : app.get_parent() ? "argument" : "verb";
  return usage_error("unknown {} '{}'{} `{} --help` lists what there is", kind, first,
                     near.empty() ? ";" : fmt::format("; did you mean '{}'?", near), command);
}

int run_verb(const Verb& verb, const VerbBody& body, const CommonOptions& common) {
  const std::string program = fmt::format("carat {}", verb.name);
  Status status;
  int exit_status = 0;
  try {
    const auto isa = chosen_isa();  // a wrong CARAT_ISA is said before any work
    if (!isa) return report_error(isa.error(), program, common.json);
    InterruptScope scope;
    ThreadPool pool(common.threads);
    Console console(common);
    note_thread_count(common.threads, console);
    if (pool.threads() < common.threads)
      console.note(fmt::format("only {} of {} threads could be started", pool.threads(), common.threads));
    const Context context{pool, scope.cancellation(), console};
    Invocation invocation{console, context};
    status = body(invocation);
    exit_status = invocation.exit_status;
  } catch (const std::bad_alloc&) {
    status = error(Code::internal, "out of memory");
  } catch (const std::exception& e) {
    status = error(Code::internal, "unexpected exception: {}", e.what());
  }
  return status.ok() ? exit_status : report_error(status.error(), program, common.json);
}

int run_program(int argc, char** argv) {
  install_signal_handlers();
  CommonOptions common;
  // A command line that does not parse must still know whether the caller reads JSON.
  for (int i = 1; i < argc; ++i) common.json |= std::string_view(argv[i]) == "--json";

  CLI::App app("carat makes open-weight language models fit limited hardware and shows what that cost.",
               "carat");
  app.set_version_flag("--version", "carat " CARAT_VERSION);
  app.get_formatter()->column_width(34);
  app.get_formatter()->label("SUBCOMMAND", "VERB ...");
  app.get_formatter()->label("REQUIRED", "");
  app.get_formatter()->label("Excludes", "not with");
  app.footer(fmt::format("Every verb has its own help: carat VERB --help\n\n{}", kExitCodes));
  app.allow_extras();  // an unknown verb is answered by unexpected_argument below
  add_common_options(app, common);

  std::vector<std::pair<CLI::App*, const Verb*>> verbs;
  std::vector<VerbBody> bodies;
  for (const Verb* verb : kVerbs) {
    CLI::App* sub = app.add_subcommand(std::string(verb->name), std::string(verb->purpose));
    sub->group("Verbs")->allow_extras(false);
    sub->footer(fmt::format("{}\n\n{}", verb->details, kExitCodes));
    bodies.push_back(verb->prepare(*sub));
    add_common_options(*sub, common);
    verbs.emplace_back(sub, verb);
  }

  const auto fail = [&](const Error& e) { return report_error(e, "carat", common.json); };
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    std::ostringstream text;
    (void)app.exit(e, text, text);
    const Status printed = Console(CommonOptions{}).print(text.str());
    return printed.ok() ? 0 : fail(printed.error());
  } catch (const CLI::ExtrasError& e) {
    for (auto& [sub, verb] : verbs)
      if (sub->parsed()) return fail(unexpected_argument(*sub, sub->remaining()));
    return fail(usage_error("{}", e.what()));
  } catch (const CLI::ParseError& e) {
    std::string command = "carat";
    for (auto& [sub, verb] : verbs)
      if (sub->parsed()) command += " " + sub->get_name();
    return fail(usage_error("{}; see `{} --help`", e.what(), command));
  }
  if (const auto extras = app.remaining(); !extras.empty()) return fail(unexpected_argument(app, extras));
  for (size_t i = 0; i < verbs.size(); ++i)
    if (verbs[i].first->parsed()) return run_verb(*verbs[i].second, bodies[i], common);
  return fail(usage_error("no verb given; `carat --help` lists them"));
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  try {
    return carat::run_program(argc, argv);
  } catch (const std::exception& e) {
    return carat::report_error({carat::Code::internal, e.what()}, "carat", false);
  }
}
