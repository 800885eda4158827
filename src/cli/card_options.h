// Options of the verbs that read cards: where these are kept, and which suite is meant.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/context.h"

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

}  // namespace carat
