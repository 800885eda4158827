// From the records of a run to its card: means per slice, latency and throughput, and what was measured on.
#pragma once

#include <string>

#include "cards/store.h"
#include "evaluate/runner.h"
#include "evaluate/subject.h"
#include "suites/suite.h"

namespace carat {

/// What is known before the first question: the identity of a run, which decides whether an unfinished one
/// goes on (Store::begin_run). `name` empty: from the model's file or the endpoint's model.
Scorecard begin_card(const Context& context, const Suite& suite, const Subject& subject, std::string name,
                     std::string reference_digest);

/// Reads the run's records and fills in scores, performance and completeness. Holds numbers of the records,
/// not their texts.
Status complete_card(const Suite& suite, Store& store, int64_t run, const RunOptions& options,
                     const RunTotals& totals, Scorecard& card);

}  // namespace carat
