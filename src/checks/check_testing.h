// What the tests of checks share: a check by name, judged over one reply.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "checks/check.h"

namespace carat {

inline json::object object_of(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() && value->is_object() ? value->get_object() : json::object{};
}

struct TestContext {
  ThreadPool pool{1};
  Cancellation cancellation;
  Progress progress;
  Context context{pool, cancellation, progress};
};

inline std::unique_ptr<Check> check_of(std::string_view kind, std::string_view settings = "{}") {
  const CheckKind* found = find_check_kind(kind);
  EXPECT_NE(found, nullptr) << kind;
  if (found == nullptr) return nullptr;
  auto made = found->make(object_of(settings));
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return made.ok() ? *std::move(made) : nullptr;
}

/// What is wrong with settings, or "".
inline std::string refused_settings(std::string_view kind, std::string_view settings) {
  const auto made = find_check_kind(kind)->make(object_of(settings));
  if (made.ok()) return "";
  EXPECT_EQ(made.error().code, Code::bad_data);
  return made.error().message;
}

inline Verdict judge(const Check& check, Answer answer, const json::object& expected) {
  TestContext test;
  const Status accepted = check.accepts(expected);
  EXPECT_TRUE(accepted.ok()) << (accepted.ok() ? "" : accepted.error().message);
  auto verdict = check.judge(test.context, answer, expected);
  EXPECT_TRUE(verdict.ok()) << (verdict.ok() ? "" : verdict.error().message);
  return verdict.ok() ? *std::move(verdict) : Verdict{};
}
inline Verdict judge(const Check& check, std::string reply, std::string_view expected) {
  return judge(check, Answer{{std::move(reply)}, {}, false}, object_of(expected));
}

inline double metric(const Verdict& verdict, std::string_view name) {
  EXPECT_EQ(verdict.kind, Verdict::Kind::scored) << verdict.reason;
  for (const auto& [key, value] : verdict.metrics) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return -1;
}

/// Lines of a file of the shared data; empty where it is absent.
inline std::vector<json::object> shared_lines(const std::string& name) {
  std::ifstream file(std::string(CARAT_SOURCE_DIR) + "/../shared/data/" + name);
  std::vector<json::object> out;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) out.push_back(object_of(line));
  }
  return out;
}

}  // namespace carat
