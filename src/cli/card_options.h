// Options of the verbs that read cards: where these are kept, and which suite is meant.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include <vector>

#include "base/context.h"
#include "cards/scorecard.h"

namespace carat {

/// --store, which is default_store_path() where it is not given.
void add_store_option(CLI::App& app, std::string& path);
/// --suite, for choose_suite().
void add_suite_option(CLI::App& app, std::string& suite);

/// The suite whose runs are meant.
struct ChosenSuite {
  std::string name;    ///< or digest, as Store::find_run() takes it; may be empty
  std::string digest;  ///< as it is now; empty where no directory was named
};
/// `option` is a suite's name or digest, or its directory, which is opened.
Result<ChosenSuite> choose_suite(const Context& context, const std::string& option);

/// Says which runs of the same variant and exam were begun after this one and are unfinished: a name means
/// the latest complete run, which may not be the one that is meant. Nothing of a card that comes from a file.
Status note_unfinished_runs(const std::string& store_path, const Scorecard& card,
                            std::vector<std::string>& notes);

}  // namespace carat
