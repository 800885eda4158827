// The options that name calibration text, for every verb that takes some, and reading it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "containers/checkpoint.h"
#include "kernels/kernels.h"
#include "stats/calibration_text.h"

namespace carat {

struct CalibrationTextArguments {
  std::vector<std::string> texts;
  CalibrationTextOptions cut;
  bool chat = false;
  ActivationScheme activations = ActivationScheme::bfloat16;
};

/// --text, --chat, --ctx, --chunks and --activations. `use` says what the text is for.
void add_calibration_text(CLI::App& app, CalibrationTextArguments& arguments, const std::string& use);

/// Errors: those of reading files, of the model's tokenizer and chat template, and of cutting.
Result<CalibrationText> read_calibration_text(const CalibrationTextArguments& arguments,
                                              const Checkpoint& checkpoint);

}  // namespace carat
