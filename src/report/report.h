// One self-contained HTML page of scorecards and what was decided on them: which variant, is it safe to ship,
// where is it worse, by how much, how sure. No script, nothing fetched, light and dark, printable.
//
// Each section is a function from Evidence (evidence.h: what the cards say, put side by side) to Markup.
#pragma once

#include <string>
#include <vector>

#include "cards/scorecard.h"
#include "gates/comparison.h"
#include "gates/gate.h"

namespace carat {

/// A variant that was measured, and what was found out about it. The baseline has neither comparison nor
/// decisions.
struct ReportEntry {
  Scorecard card;
  Comparison comparison;                   ///< with the baseline
  std::vector<SurfaceDecision> decisions;  ///< empty without a policy
  std::vector<std::string> stale;          ///< why the card no longer holds: "the suite has changed since"
};

struct ReportInput {
  Scorecard baseline;
  std::vector<std::string> baseline_stale;
  std::vector<ReportEntry> candidates;  ///< may be empty: then the page describes one card
  std::string policy;                   ///< the file's name; empty without
  std::string date;                     ///< of the report
};

/// More would not be told apart on one page.
inline constexpr size_t kMostReportedVariants = 16;

/// Well-formed as HTML and as XML.
std::string render_report(const ReportInput& input);

}  // namespace carat
