// Whether what a card says still holds: the program, the model's files and the suite may have changed since.
// One answer for compare, gate and report, so that none lets pass what another refuses.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "cards/scorecard.h"

namespace carat {

struct Staleness {
  std::vector<std::string>
      reasons;  ///< "made by carat 0.0.1, this is 0.1.0"; empty = nothing is known to have
  std::vector<std::string> unknown;  ///< sentences on what could not be looked at
};

/// "the card of 'q4' is stale: REASON", for gates and notes.
std::string stale_sentence(const Scorecard& card, std::string_view reason);

/// One for each card. Reads the files of models that are there, each once. `suite_digest`: of the suite as it
/// is now; empty where that is not known. Errors: those of reading, interruption.
Result<std::vector<Staleness>> find_staleness(const Context& context, std::span<const Scorecard* const> cards,
                                              std::string_view suite_digest);

}  // namespace carat
