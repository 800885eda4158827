// A check judges generated text against what its item expects. Checks are pure: the same answer gets the same
// verdict, whoever gave it. To add one: a file, its test, and a line in the list in checks.cc.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "containers/json.h"

namespace carat {

struct ToolCall {
  std::string name;
  std::string arguments;  ///< JSON text as the model wrote it
};

/// What came back for one item.
struct Answer {
  std::vector<std::string> replies;  ///< one per generated turn; most items have one
  std::vector<ToolCall> tool_calls;  ///< of the last reply, where an endpoint gave them apart from its text
  bool truncated = false;            ///< the last reply ended for its length
};

struct Verdict {
  /// unscored: the check could not be made here (no sandbox, no judge), which is neither right nor wrong;
  /// `reason` says why.
  enum class Kind { scored, unscored } kind = Kind::scored;
  /// The task's metrics, e.g. {"exact", 1}; 0 or 1 for a judgement, otherwise a share or a rating.
  std::vector<std::pair<std::string, double>> metrics;
  std::string extracted;  ///< what was taken for the answer, for readers
  std::string reason;     ///< one sentence: why wrong, or why unscored
};

class Check {
 public:
  virtual ~Check() = default;
  /// Whether `expected` of an item is what judge() needs; Code::bad_data naming the key. Called for every
  /// item when a suite is opened.
  virtual Status accepts(const json::object& expected) const = 0;
  /// Errors are of the machinery (interruption, a broken sandbox), never of the answer, however odd it is.
  virtual Result<Verdict> judge(const Context& context, const Answer& answer,
                                const json::object& expected) const = 0;
};

/// What a suite may name: "exact", "numeric", "regex", ... each with the metrics it gives, the first the one
/// that counts.
struct CheckKind {
  std::string_view name;
  std::span<const std::string_view> metrics;
  Result<std::unique_ptr<Check>> (*make)(const json::object& settings);  ///< bad_data for unknown settings
};
std::span<const CheckKind> check_kinds();
/// Null where there is none.
const CheckKind* find_check_kind(std::string_view name);

}  // namespace carat
