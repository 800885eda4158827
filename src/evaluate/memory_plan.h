// How much memory an exam may come to take, known before the first question: what a card predicts, beside
// what was measured. The measurement says what these questions took; only the plan says what other, longer
// ones would.
#pragma once

#include <cstdint>

#include "containers/json.h"
#include "engine/engine.h"

namespace carat {

struct MemoryPlan {
  int64_t weights_bytes = 0;  ///< of all tensors; mapped, so that the system may drop what is not read
  int64_t keys_and_values_bytes = 0;  ///< of `sequences` that each fill the context
  int64_t work_space_bytes = 0;       ///< activations of the largest forward pass, logits of a slab
  int64_t sequences = 0;              ///< side by side

  int64_t total_bytes() const { return weights_bytes + keys_and_values_bytes + work_space_bytes; }
  MemoryPlan& operator+=(const MemoryPlan& other);  ///< of an engine beside it; sequences stay
  json::object to_json() const;
};

/// `sequences` are fewer where their keys and values would take more than `kv_bytes`, as in generate_batch().
/// Not counted: the program, the tokenizer, texts of a batch. Errors: those of read_model_config().
Result<MemoryPlan> plan_memory(const Engine& engine, int64_t sequences, int64_t kv_bytes);

}  // namespace carat
