// Many generations at once: one pass over the weights serves a token of each of them, beginnings that prompts
// share (a system prompt, the examples of a few-shot task) are computed once, and a finished sequence makes
// room for the next. Each has the tokens it would have alone.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/generate.h"

namespace carat {

struct GenerateRequest {
  std::vector<TokenId> prompt;  ///< at least one token
  GenerateOptions options;      ///< its own seed, stop texts and limit
};

struct GenerateBatchOptions {
  int64_t max_sequences = 32;           ///< that are computed at a time
  int64_t kv_bytes = int64_t{1} << 30;  ///< fewer where their keys and values would take more than this
};

/// Told of each generation as soon as it is finished, in no particular order. An error ends the whole.
using OnGeneration = std::function<Status(size_t request, Generation&& generation)>;

/// A Generation's times are what passed while its prompt was computed and while its tokens were, both shared
/// with the other sequences. Errors: Code::usage, before anything is computed, for a request that has no
/// prompt, an option out of range or a prompt that does not fit the context, naming its index; Code::bad_data
/// where the model has no tokenizer; Code::interrupted, when unfinished generations are lost.
Status generate_batch(const Context& context, Engine& engine, std::span<const GenerateRequest> requests,
                      const GenerateBatchOptions& options, const OnGeneration& on_generation);

}  // namespace carat
