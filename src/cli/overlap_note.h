// Tells whoever evaluates a model that its calibration saw the questions.
#pragma once

#include <functional>
#include <string_view>

#include "cli/console.h"
#include "engine/engine.h"

namespace carat {

/// look(text, tokens): a piece of what the model is asked about, of which the first `tokens` tokens count.
using LookAtText = std::function<Status(std::string_view text, size_t tokens)>;

/// `pieces(look)` hands over every piece. Notes an overlap of one percent or more; says nothing of models
/// that were not calibrated. Errors: those of `pieces`, of the file's record of its calibration, and of
/// tokenizing.
Status note_overlap(const Engine& engine, Console& console,
                    const std::function<Status(const LookAtText&)>& pieces);

}  // namespace carat
