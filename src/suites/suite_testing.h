// For the tests of suites: a suite written by hand into a directory that goes away.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "containers/test_files.h"
#include "suites/suite.h"

namespace carat::testing {

class SuiteDirectory {
 public:
  SuiteDirectory& file(const std::string& name, std::string_view bytes) {
    write_file(directory_ / name, bytes);
    return *this;
  }
  /// suite.toml, with a head before `tasks`.
  SuiteDirectory& tasks(const std::string& tasks) {
    return file("suite.toml", "[suite]\nname = \"t\"\nversion = \"3\"\n" + tasks);
  }
  std::string path() const { return directory_.path(); }
  std::string operator/(std::string_view name) const { return directory_ / name; }

  Result<std::shared_ptr<const Suite>> open(const Cancellation& cancellation = {}) const {
    ThreadPool pool(1);
    Progress progress;
    return open_suite({pool, cancellation, progress}, path());
  }
  std::shared_ptr<const Suite> good() const {
    auto suite = open();
    if (!suite.ok()) {
      ADD_FAILURE() << suite.error().message;
      return nullptr;
    }
    return *suite;
  }
  std::string digest() const {
    const auto suite = good();
    return suite ? suite->digest() : "";
  }
  /// The sentence of the error there must be.
  std::string complaint(Code code = Code::bad_data) const {
    const auto suite = open();
    EXPECT_FALSE(suite.ok()) << "nothing is wrong with it";
    if (suite.ok()) return "";
    EXPECT_EQ(suite.error().code, code) << suite.error().message;
    return suite.error().message;
  }

 private:
  TempDirectory directory_;
};

inline std::vector<Item> all_items(const Suite& suite, size_t task = 0) {
  std::vector<Item> out;
  const Status s = suite.for_each(task, [&](Item&& item) -> Status {
    out.push_back(std::move(item));
    return {};
  });
  EXPECT_TRUE(s.ok()) << s.error().message;
  return out;
}

/// That a text is within another, with both shown where it is not.
inline ::testing::AssertionResult says(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "\"" << text << "\" does not say \"" << part << "\"";
}

}  // namespace carat::testing
