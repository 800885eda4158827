// A verb is one file: a Verb value with its words, and a function that declares options and returns the work.
// To add one: write the file and its test, and name it in the two lines at the end of this header.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string_view>

#include "base/context.h"
#include "cli/console.h"

namespace carat {

/// Everything a verb works with.
struct Invocation {
  Console& console;
  const Context& context;
  /// What the process ends with when the work was done and its result printed, but the answer is not simply
  /// good: 1 gate breached, 2 inconclusive, 74 answers missing because the machinery failed.
  int exit_status = 0;
};

using VerbBody = std::function<Status(Invocation&)>;

struct Verb {
  std::string_view name;
  std::string_view purpose;  ///< one line
  std::string_view details;  ///< examples and whatever else --help shows at the end
  /// Declares positionals and options on `app`; what it returns is called once they are parsed.
  VerbBody (*prepare)(CLI::App& app);
};

extern const Verb inspect_verb, verify_verb, convert_verb, quantize_verb, run_verb, perplexity_verb,
    calibrate_verb, evaluate_verb, bench_verb, suite_verb, compare_verb, gate_verb, report_verb;

/// THE list of verbs, in the order shown to users.
inline constexpr const Verb* kVerbs[] = {&inspect_verb,  &verify_verb, &convert_verb,    &calibrate_verb,
                                         &quantize_verb, &run_verb,    &perplexity_verb, &evaluate_verb,
                                         &bench_verb,    &suite_verb,  &compare_verb,    &gate_verb,
                                         &report_verb};

}  // namespace carat
