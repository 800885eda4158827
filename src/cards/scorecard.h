// What a variant scored: one record per item and repeat, and the card that sums them up with all that is
// needed to know what was measured. Comparing, gating and reporting see cards only, never models.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "containers/json.h"
#include "statistics/estimates.h"

namespace carat {

enum class Outcome {
  scored,
  unscored,  ///< could not be judged here: no sandbox, no judge, longer than the context
  failed     ///< the machinery failed (endpoint, disk): neither right nor wrong, and asked again on resume
};

/// One answer to one item.
struct Record {
  std::string task, item;
  int64_t repeat = 0;
  std::string cluster;
  std::vector<std::string> slices;
  Outcome outcome = Outcome::scored;
  std::vector<std::pair<std::string, double>> metrics;  ///< by name; empty unless scored
  double weight = 1;     ///< what the mean counts it with: tokens for losses per token, else 1
  std::string question;  ///< for readers, cut to some hundred characters
  std::string answer;    ///< what the model said, or chose
  std::string expected;
  std::string reason;  ///< why wrong, unscored or failed
  int64_t prompt_tokens = 0, generated_tokens = 0;
  bool truncated = false, looped = false;
  double seconds = 0, first_token_seconds = 0;  ///< 0 where work was shared between items
};

/// One metric on one slice of one task ("" = the whole task). A slice of which nothing could be scored is
/// there too, with value.items = 0 (and metric "" where no item of the task has one): a gate must see it.
struct SliceScore {
  std::string task, dimension, slice, metric;
  MeanEstimate value;  ///< over items; the repeats of one are averaged first
  /// Items asked; those of which every repeat was unscored, or failed (if any did).
  int64_t items = 0, unscored = 0, failed = 0;
};

/// The whole configuration that sat the exam; two variants that differ in one member show what it is worth.
struct Variant {
  std::string name;          ///< the user's, else derived from the file's name
  std::string model;         ///< path or endpoint
  std::string model_digest;  ///< SHA-256 of the file; of what an endpoint says of itself
  json::object settings;     ///< encoding mix, kv, activations, context, sampling overrides ...
};

struct Scorecard {
  static constexpr int64_t schema_version = 1;
  int64_t run = 0;  ///< its number in the store
  Variant variant;
  std::string reference;  ///< digest of the model that divergences are from; empty without
  std::string suite, suite_version, suite_digest;
  json::object
      provenance;  ///< version, kernels, hardware, threads, date, checkpoint, method, recipe, calibration
  json::object
      performance;  ///< latency percentiles with their formulas, throughput, memory planned and measured
  int64_t file_bytes = 0;
  std::vector<SliceScore> scores;
  std::vector<Record> records;  ///< ordered by task, item, repeat; may be left out of an export
  bool complete = false;        ///< every item of the suite has a record
};

/// Means per task and slice of every metric, with intervals that keep clusters together. Tasks in the order
/// of `task_dimensions` (others after them by name), each whole, then its slices by name; metrics as the
/// records have them. The order of records does not matter.
std::vector<SliceScore> sum_up(const std::vector<Record>& records,
                               const std::vector<std::pair<std::string, std::string>>& task_dimensions);

/// As sum_up, of records that come one by one and need not stay: keeps numbers and ids, no texts.
class ScoreSums {
 public:
  ScoreSums();
  ~ScoreSums();
  ScoreSums(ScoreSums&&) noexcept;
  ScoreSums& operator=(ScoreSums&&) noexcept;
  void add(const Record& record);
  std::vector<SliceScore> scores(
      const std::vector<std::pair<std::string, std::string>>& task_dimensions) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// docs/scorecard.md describes the keys. Texts that are not UTF-8 get U+FFFD where they are not; everything
/// else comes back as it was.
json::value to_json(const Scorecard& card, bool with_records);
/// bad_data naming the key; a schema_version this program does not know is refused. Unknown keys are
/// ignored.
Result<Scorecard> scorecard_from_json(const json::value& value);

std::string_view outcome_name(Outcome outcome);

/// The order in which a card holds its records, and what is unique in it.
inline auto record_key(const Record& r) { return std::tie(r.task, r.item, r.repeat); }

}  // namespace carat
