// Options of quantize for methods with error feedback.
#pragma once

#include <CLI/CLI.hpp>

#include "quantize/walk_feedback.h"

namespace carat {

/// --order, --shrink, --damp and --propagate; `feedback` outlives parsing.
void add_feedback_options(CLI::App& app, WalkFeedback& feedback);

}  // namespace carat
