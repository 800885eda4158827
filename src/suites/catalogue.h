// Suites by name: those that come with the program, and those in directories of the user's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

/// Where suites are looked for, in this order: the directories of $CARAT_SUITES (separated by colons), then
/// share/carat/suites and suites in the program's directory and the four above it, so that both an installed
/// program and one in a build tree find theirs.
std::vector<std::string> suite_directories();

struct SuiteEntry {
  std::string name;  ///< of its directory
  std::string path;
};
/// Every directory with a suite.toml directly within these, the first of each name, sorted by name.
std::vector<SuiteEntry> suites_in(const std::vector<std::string>& directories);

/// A path as it is, where there is something; otherwise the suite of that name. no_input naming the suites
/// there are.
Result<std::string> find_suite(const std::string& path_or_name);

}  // namespace carat
