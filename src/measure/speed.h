// How fast a model is, next to what the machine could do at that moment.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "engine/engine.h"
#include "measure/limits.h"
#include "measure/work.h"

namespace carat {

/// The middle of some values, and how far they lie apart.
struct Spread {
  double median = 0, low = 0, high = 0;
};
Spread spread(std::vector<double> values);

/// One line of a benchmark.
struct SpeedCase {
  enum class Kind { prefill, decode };
  Kind kind = Kind::decode;
  int64_t tokens = 128;  ///< appended at once (prefill) or one after the other (decode)
  int64_t depth = 0;     ///< positions already in the cache
  int64_t batch = 1;     ///< sequences that decode at the same time
};

struct SpeedResult {
  SpeedCase what;
  int threads = 0;
  Spread rate;            ///< tokens per second, of all sequences together
  Spread memory;          ///< share of the read bandwidth measured around each repetition
  Spread compute;         ///< share of the peak of the operations needed
  double bytes = 0;       ///< per token
  double operations = 0;  ///< per token
};

struct SpeedOptions {
  std::vector<SpeedCase> cases;
  std::vector<int> threads;
  int repetitions = 5;
};

struct SpeedReport {
  std::vector<SpeedResult> results;            ///< for each number of threads, each case
  std::vector<std::pair<int, Limits>> limits;  ///< medians over the run, by threads
};

/// Repetitions go round all cases and numbers of threads, so that a change of the machine's mood meets all of
/// them. Before them each runs once unmeasured.
Result<SpeedReport> measure_speed(const Context& context, const KernelTable& kernels, Engine& engine,
                                  const SpeedOptions& options);

}  // namespace carat
