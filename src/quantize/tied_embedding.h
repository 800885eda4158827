// The embedding of a model that has no output matrix of its own is that matrix, too: the largest there is in
// small models, and the last that anything goes through. A walk rounds it first, before it knows what the
// rounded model hands to it; so it gets the search, weighed by what the model as it is hands to it.
//
// Rejected: rounding it last, with error feedback, while the layers before see it as it was. Feedback makes
// up for columns' errors in products, which tokens that are looked up have no part in.
#pragma once

#include "quantize/importance.h"
#include "quantize/work.h"

namespace carat {

/// Sequences of the calibration text that say enough of which columns matter: a mean square each.
inline constexpr int64_t kOutputSequences = 8;

/// Gives a guided work (gptq) the importance of its tied embedding, where it has one that is rounded and
/// knows nothing of it: from kOutputSequences of work.text, evenly, or the diagonal of work.hessians. Errors:
/// those of running the model, and of reading.
Status weigh_tied_embedding(const Context& context, const Checkpoint& checkpoint, Work& work);

}  // namespace carat
