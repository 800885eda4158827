// From items to records: asks a subject about items of one task, judges the answers, and writes down what
// there is to say of each. One function per kind of task; runner.cc chooses what is asked together.
#pragma once

#include <span>
#include <vector>

#include "cards/scorecard.h"
#include "checks/check.h"
#include "evaluate/judge.h"
#include "evaluate/subject.h"
#include "suites/suite.h"

namespace carat {

/// One answer that is wanted.
struct Work {
  Item item;
  int64_t repeat = 0;
};

struct Examination {
  const Context& context;
  Subject& subject;
  const Task& task;
  const Check* check = nullptr;  ///< of tasks that generate
  Judge* judge = nullptr;        ///< of tasks with a rubric; may be null
  uint64_t seed_shift = 0;       ///< other draws of the same exam, for a noise floor
};

/// records[i] is of work[i]. Errors: those of Subject, and of checks' machinery.
Status ask_choices(const Examination& exam, std::span<const Work> work, std::span<Record> records);
Status ask_texts(const Examination& exam, std::span<const Work> work, std::span<Record> records);
Status ask_generations(const Examination& exam, std::span<const Work> work, std::span<Record> records);

/// The record of a piece of work before anything is known but the item.
Record blank_record(const Task& task, const Work& work);

/// At most `bytes` of a text, cut between characters and ended with "...".
std::string cut_text(std::string_view text, size_t bytes = 400);

/// A seed of its own for every item and repeat.
uint64_t derived_seed(uint64_t seed, std::string_view item, int64_t repeat);

}  // namespace carat
