// Two cards named on the command line, for the verbs that compare them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cards/scorecard.h"
#include "cli/verb.h"

namespace carat {

struct TwoCardsOptions {
  std::string baseline, candidate, suite, store;
};
/// BASELINE CANDIDATE --suite --store
void add_two_cards_options(CLI::App& app, TwoCardsOptions& options);

struct TwoCards {
  Scorecard baseline, candidate;   ///< with records; run 0 where it is a file, not a run of the store
  std::vector<std::string> notes;  ///< on which runs were taken
  std::string suite_digest;        ///< of the suite's directory as it is now; empty where none was named
};
/// --suite may name a suite's directory, whose name and present digest are then used.
Result<TwoCards> load_two_cards(const Context& context, const TwoCardsOptions& options);

/// What has changed since the cards were made: this program, the models' files, the suite. One sentence each.
/// Reads the files of models that are there. `unknown` gets what could not be looked at.
Result<std::vector<std::string>> stale_since(const TwoCards& cards, const Context& context,
                                             std::vector<std::string>& unknown);

}  // namespace carat
