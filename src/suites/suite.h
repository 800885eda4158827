// A suite is an exam that outlives the variants that sit it: a directory with suite.toml and JSONL files.
// What is asked and how it is judged never depends on who is asked, so one digest over both says whether two
// results may be compared. docs/suites.md describes the files.
//
// Items are streamed, never held all at once: a suite may be larger than memory is to spare.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/error.h"
#include "containers/json.h"

namespace carat {

/// How a task is asked; what is computed follows from it (evaluate/), how it is judged from `check`.
enum class TaskKind {
  perplexity,  ///< the loss of a text, and its divergence from a reference
  choice,      ///< log-likelihoods of continuations; one choice alone asks whether it is what greedy decoding
               ///< says
  generate     ///< text, turn by turn, judged by a check (checks/check.h)
};

struct GenerationSettings {
  int64_t max_tokens = 256;
  double temperature = 0;  ///< 0 = greedy
  double top_p = 1, min_p = 0;
  int64_t top_k = 0;
  std::vector<std::string> stop;  ///< ends the text, which does not contain it
  uint64_t seed = 0;              ///< repeat r of an item draws with a seed derived from seed, item id and r
  int64_t repeats = 1;
  bool chat = true;  ///< through the model's chat template; otherwise the prompt as it is
  std::string system;
};

struct Task {
  std::string name;       ///< unique in the suite
  std::string dimension;  ///< what it is about: "knowledge", "arithmetic", "tools"; slices are within one
  TaskKind kind = TaskKind::choice;
  std::vector<std::string> metrics;  ///< the first is the one that is gated by default
  std::string delimiter = " ";       ///< what each choice begins with; no part of its length
  GenerationSettings generation;
  std::string check;        ///< name of a check; empty unless kind is generate
  json::object check_with;  ///< its settings
};

struct Turn {
  std::string role;  ///< "system", "user", "assistant"; an assistant turn is given, not generated
  std::string content;
};

/// One question, rendered: templates and examples (few-shot) are already in it.
struct Item {
  std::string id;                   ///< unique in its task
  std::string cluster;              ///< items that share a passage, document or template; the id where alone
  std::vector<std::string> slices;  ///< e.g. "subject=anatomy", "length=4096"

  std::string text;  ///< perplexity: the document

  std::vector<std::string> contexts;  ///< choice: one for all choices, or one for each
  /// choice: continuations, with the task's delimiter before each
  std::vector<std::string> choices;
  int64_t gold = -1;  ///< choice: the right one

  std::vector<Turn>
      turns;  ///< generate: an answer is generated after each user turn that no assistant turn follows
  std::string prompt;     ///< generate without chat: instead of turns
  json::array tools;      ///< generate: functions the model may call, as OpenAI describes them
  json::object expected;  ///< generate: what the check needs to know of this item
};

class Suite {
 public:
  virtual ~Suite() = default;
  virtual const std::string& name() const = 0;
  virtual const std::string& version() const = 0;  ///< as its author counts, e.g. "1.2"
  virtual std::string description() const { return {}; }
  virtual std::string license() const { return {}; }
  /// SHA-256 over tasks, settings and rendered items, in a canonical form: independent of file names,
  /// spelling of TOML and order of keys.
  virtual const std::string& digest() const = 0;
  virtual const std::vector<Task>& tasks() const = 0;
  virtual int64_t items(size_t task) const = 0;  ///< how many
  /// Hands the items of a task in order. Stops at the first error of `sink`. A file changed since the suite
  /// was opened is Code::bad_data.
  virtual Status for_each(size_t task, const std::function<Status(Item&&)>& sink) const = 0;
};

/// Opens a directory (or its suite.toml) and reads every item once, so that all that is wrong with a suite is
/// said before anything is computed. Errors: Code::no_input; Code::bad_data naming file, line and key:
/// syntax, unknown keys, kinds, metrics or checks, duplicate task names or item ids, text that is not UTF-8,
/// a gold answer that is none of the choices; interruption.
Result<std::shared_ptr<const Suite>> open_suite(const Context& context, const std::string& path);

}  // namespace carat
