// What the user should know about the machine before a model runs on it.
#pragma once

#include "cli/console.h"
#include "containers/checkpoint.h"

namespace carat {

/// Notes where there are more threads than processors this process may use.
void note_thread_count(int threads, Console& console);
/// Notes where a model is larger than the memory at hand, with what that will mean.
void note_memory(const Checkpoint& checkpoint, Console& console);

}  // namespace carat
