// The run of a suite: items that the store has no answer to are asked in batches, judged, and committed as
// soon as they are judged. Whatever ends a run (a signal, a kill, a full disk) leaves what was finished, and
// the next run goes on from there.
//
// A batch is as large as takes a few seconds, so that little is lost and much is shared; results do not
// depend on it. Memory holds one batch and eight bytes per finished item, whatever the suite's size.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "cards/store.h"
#include "evaluate/judge.h"
#include "evaluate/subject.h"
#include "suites/suite.h"

namespace carat {

struct RunOptions {
  std::vector<std::string> tasks;  ///< only these, by name; empty = all
  int64_t limit = -1;              ///< only the first items of each task; -1 = all
  int64_t repeats = 0;             ///< of each item where answers are sampled; 0 = as the suite says
  uint64_t seed_shift = 0;         ///< other draws of sampled answers, for a noise floor
  double batch_seconds = 2;        ///< what a batch should take
  Judge* judge = nullptr;          ///< rates answers of tasks with a rubric; without one they are unscored
};

/// Which tasks of the suite are meant, by name; all where there is no name. Code::usage for a task it has
/// not.
Result<std::vector<bool>> chosen_tasks(const Suite& suite, const std::vector<std::string>& names);

/// How often each item of the task is asked, each time with a seed of its own.
int64_t repeats_of(const Task& task, const RunOptions& options);

/// What one call did; figures of speed come from it.
struct RunTotals {
  int64_t records = 0, already_there = 0;
  int64_t unscored = 0, failed = 0;
  int64_t prompt_tokens = 0, generated_tokens = 0;
  double seconds = 0;
  int64_t largest_batch = 0;
  bool all_selected = false;  ///< no item of the suite was left out by the options
};

/// Adds records to `run` of the store. Errors: Code::usage for a task the suite has not; those of the suite,
/// the subject, checks and the store (finished records are kept); Code::io where so many requests in a row
/// failed that going on makes no sense.
Result<RunTotals> run_suite(const Context& context, const Suite& suite, Subject& subject, Store& store,
                            int64_t run, const RunOptions& options);

}  // namespace carat
