// The history of evaluations: one SQLite file (WAL, so that several runs may write and others read at once).
// A record is committed as soon as it is made, and is unique by run, task, item and repeat: a killed run goes
// on where it was and scores nothing twice.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cards/scorecard.h"

namespace carat {

struct RunSummary {
  int64_t run = 0;
  std::string variant, suite, suite_version, suite_digest, model_digest, date;
  bool complete = false;
  int64_t records = 0;
};

struct Decision {
  int64_t baseline = 0, candidate = 0;  ///< runs
  std::string surface, verdict, reason, author, date, policy_digest;
  json::object details;
};

class Store {
 public:
  /// Creates the file where there is none. Errors: io; bad_data for a file that is no such store or of
  /// another schema version (which is named, and what to do).
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  virtual ~Store() = default;

  /// The unfinished run with this variant (name, digest, settings), suite digest and reference; else a new
  /// one.
  virtual Result<int64_t> begin_run(const Scorecard& card) = 0;
  /// Calls for each record of the run that need not be made again (scored or unscored), e.g. to skip it.
  virtual Status for_each_record(int64_t run, const std::function<Status(Record&&)>& sink) = 0;
  /// Durable when it returns. A record that is already there is replaced only if it had failed.
  virtual Status add(int64_t run, const std::vector<Record>& records) = 0;
  virtual Status finish_run(int64_t run, const Scorecard& card) = 0;

  virtual Result<std::vector<RunSummary>> runs() = 0;
  virtual Result<Scorecard> card(int64_t run, bool with_records) = 0;
  /// By number ("7"), or variant name (its latest complete run of the suite; "" = any suite).
  virtual Result<int64_t> find_run(std::string_view reference, std::string_view suite) = 0;
  virtual Status add_decision(const Decision& decision) = 0;
  virtual Result<std::vector<Decision>> decisions() = 0;
};

/// $CARAT_STORE, else $XDG_STATE_HOME/carat/scores.sqlite, else ~/.local/state/carat/scores.sqlite.
std::string default_store_path();

}  // namespace carat
