// Comparisons and decisions as documents: JSON for programs, JUnit XML for build servers, Markdown for a pull
// request. Texts come from models and files: whatever they hold, the documents stay well-formed and show it
// as text.
#pragma once

#include <string>
#include <string_view>

#include "containers/json.h"
#include "gates/gate.h"

namespace carat {

json::object to_json(const SliceDifference& difference);
json::object to_json(const Comparison& comparison);
json::object to_json(const SurfaceDecision& decision);

/// One suite per surface, one case per row. A breach is a failure, whatever did not pass an error; advisory
/// rows pass and say what they saw.
std::string junit_document(const std::vector<SurfaceDecision>& decisions);

/// Verdicts, rows and at most `flips` flipped items.
std::string markdown_document(const Comparison& comparison, const std::vector<SurfaceDecision>& decisions,
                              size_t flips = 20);

}  // namespace carat
