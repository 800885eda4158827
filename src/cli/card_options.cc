#include "cli/card_options.h"

#include <filesystem>

#include "cards/store.h"
#include "containers/quote.h"
#include "suites/suite.h"

namespace carat {

void add_store_option(CLI::App& app, std::string& path) {
  path = default_store_path();
  app.add_option("--store", path,
                 "Where results are kept (default: $CARAT_STORE, else\n~/.local/state/carat/scores.sqlite)")
      ->type_name("FILE");
}

void add_suite_option(CLI::App& app, std::string& suite) {
  app.add_option("--suite", suite, "Suite whose runs are meant: its name or digest, or its directory")
      ->type_name("SUITE");
}

Result<ChosenSuite> choose_suite(const Context& context, const std::string& option) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(option, ignored) && !option.ends_with(".toml"))
    return ChosenSuite{option, ""};
  CARAT_TRY(const auto suite, open_suite(context, option));
  return ChosenSuite{suite->name(), suite->digest()};
}

Status note_unfinished_runs(const std::string& store_path, const Scorecard& card,
                            std::vector<std::string>& notes) {
  if (card.run == 0) return {};
  CARAT_TRY(const auto store, Store::open(store_path));
  CARAT_TRY(const auto runs, store->runs());
  for (const RunSummary& r : runs) {
    if (r.run <= card.run || r.complete || r.variant != card.variant.name ||
        r.suite_digest != card.suite_digest)
      continue;
    notes.push_back(fmt::format(
        "run {} of {} is what is compared; run {} was begun later and is unfinished, with {} answers: "
        "the `carat evaluate` command that began it goes on with it",
        card.run, quote(card.variant.name), r.run, r.records));
  }
  return {};
}

}  // namespace carat
