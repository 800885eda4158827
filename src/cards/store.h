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

/// May be called from several threads; nothing is locked while a sink runs, which may call the store itself.
class Store {
 public:
  /// Creates the file (for its owner alone, mode 0600) and its directory where there is none. A file that may
  /// not be written is opened for reading. Errors: io; no_input for a file that cannot be opened; bad_data
  /// for a file that is no such store or of another schema version (which is named, and what to do).
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  virtual ~Store() = default;

  /// The unfinished run with this variant (name, digest, settings), suite digest and reference; else a new
  /// one.
  virtual Result<int64_t> begin_run(const Scorecard& card) = 0;
  /// Calls for each record of the run that need not be made again (scored or unscored), e.g. to skip it; or
  /// for all. In the order of their key, a few held at a time.
  virtual Status for_each_record(int64_t run, const std::function<Status(Record&&)>& sink,
                                 bool failed_too = false) = 0;
  /// Durable when it returns. A record that is already there is replaced only if it had failed.
  virtual Status add(int64_t run, const std::vector<Record>& records) = 0;
  /// Scores, provenance, performance, file_bytes and whether it is complete, all or nothing. A complete run
  /// is history: neither add() nor finish_run() may change it (usage error).
  virtual Status finish_run(int64_t run, const Scorecard& card) = 0;
  /// A card made elsewhere becomes a run of its own, whose number is returned.
  virtual Result<int64_t> add_card(const Scorecard& card) = 0;

  virtual Result<std::vector<RunSummary>> runs() = 0;
  /// Records in the order of their key, settings with their keys sorted. Errors: no_input where there is no
  /// such run.
  virtual Result<Scorecard> card(int64_t run, bool with_records) = 0;
  /// By number ("7"), or variant name (its latest complete run of the suite, by name or digest; "" = any
  /// suite). Errors: no_input, naming the variants there are.
  virtual Result<int64_t> find_run(std::string_view reference, std::string_view suite) = 0;
  /// An empty date becomes now; runs that are 0 are cards from outside the store.
  virtual Status add_decision(const Decision& decision) = 0;
  virtual Result<std::vector<Decision>> decisions() = 0;
};

/// $CARAT_STORE, else $XDG_STATE_HOME/carat/scores.sqlite, else ~/.local/state/carat/scores.sqlite.
std::string default_store_path();

}  // namespace carat
