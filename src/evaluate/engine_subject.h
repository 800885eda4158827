// A Subject that is a model of ours: likelihoods, losses and generations in batches, deterministic.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "evaluate/subject.h"

namespace carat {

struct EngineSubjectOptions {
  KvEncoding kv = KvEncoding::f16;    ///< what the engine was loaded with, for the card
  int64_t sequences_at_once = 16;     ///< that are generated at a time
  std::shared_ptr<Engine> reference;  ///< what texts' divergences are from; may be null
};

/// Reads the whole file once, for its digest. Errors: bad_data for a model without a tokenizer or with a chat
/// template that does not parse; those of reading; interruption.
Result<std::unique_ptr<Subject>> make_engine_subject(const Context& context, std::shared_ptr<Engine> engine,
                                                     const EngineSubjectOptions& options);

}  // namespace carat
