// How fast a model is, next to what the machine could do at that moment.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "engine/engine.h"
#include "measure/energy.h"
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
  size_t engine = 0;  ///< index of the engine measured
  int threads = 0;
  Spread rate;                   ///< tokens per second, of all sequences together
  Spread memory;                 ///< share of the read bandwidth measured around each repetition
  Spread compute;                ///< share of the peak of the operations needed
  double bytes = 0;              ///< per token
  double operations = 0;         ///< per token
  std::optional<Spread> joules;  ///< per token, where the system tells
};

struct SpeedOptions {
  std::vector<SpeedCase> cases;
  std::vector<int> threads;
  int repetitions = 5;
};

struct SpeedReport {
  std::vector<SpeedResult> results;            ///< for each number of threads, each case, each engine
  std::vector<std::pair<int, Limits>> limits;  ///< medians over the run, by threads
};

/// Repetitions go round all engines (models to compare), cases and numbers of threads, so that a change of
/// the machine's mood meets all of them. Before them each runs once unmeasured.
Result<SpeedReport> measure_speed(const Context& context, const LimitMeter& meter,
                                  std::span<const std::shared_ptr<Engine>> engines,
                                  const SpeedOptions& options);

/// Decoding without a pause, which shows what a processor keeps up once it is warm: tokens per second in each
/// of `slices` equal parts of `seconds`. The context goes back to its beginning every `tokens` tokens.
Result<std::vector<double>> measure_sustained(const Context& context, Engine& engine, double seconds,
                                              int slices, int64_t tokens);

struct StartTimes {
  Spread ready;        ///< seconds until a model can take tokens, its file in the page cache
  Spread first_token;  ///< until the first token after a prompt of `prompt` tokens can be chosen
  int64_t prompt = 0;
};
Result<StartTimes> measure_start(const Context& context, const std::string& path,
                                 const EngineOptions& options, int64_t prompt, int repetitions);

/// Time per operation of a forward pass.
struct ProfileLine {
  std::string operation, detail;
  int64_t calls = 0;
  double seconds = 0;
  Work work;
};
struct ProfileReport {
  SpeedCase what;
  int threads = 0;
  double seconds = 0;              ///< of the whole run, what lies between the operations included
  std::vector<ProfileLine> lines;  ///< in the order of their first call
  Limits limits;
};
/// One run of `what` after an unmeasured one, with the threads of the context.
Result<ProfileReport> measure_profile(const Context& context, const LimitMeter& meter, Engine& engine,
                                      const SpeedCase& what);

}  // namespace carat
