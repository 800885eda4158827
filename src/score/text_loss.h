// How well a model predicts whole documents, and how far it is from a reference over the same tokens: sums
// per document, so that slices and intervals can be made of them. (perplexity.h follows llama.cpp's tool,
// which cuts one long text into chunks and counts the second half of each.)
//
// Every token of a document is scored once, as lm-evaluation-harness's loglikelihood_rolling does it. The
// first is predicted from the token that texts begin with (prefix_token()). A document longer than the
// context is cut into windows of `context` scored tokens, each of which follows the last token of the one
// before; the last window, shorter as a rule, reaches back so that it is full, too, and only counts what no
// other has.
#pragma once

#include <span>
#include <string>

#include "base/context.h"
#include "engine/engine.h"

namespace carat {

struct TextLossOptions {
  int64_t context = 0;  ///< tokens of a window; 0 = as many as both engines hold
};

/// Sums over the scored tokens of one document, in nats.
struct TextLoss {
  int64_t tokens = 0;        ///< scored: all of the document
  double nll = 0;            ///< -log p
  double reference_nll = 0;  ///< this and what follows: 0 without a reference
  double kl = 0;             ///< KL(reference || candidate)
  int64_t same_top = 0;      ///< tokens where both find the same token likeliest
};

/// results[i] is the loss of texts[i]; the values do not depend on which come together. reference may be
/// null. Errors: Code::usage for a context that an engine does not hold, or a reference with another
/// vocabulary; Code::bad_data where a model has no tokenizer or gives logits that are not finite;
/// interruption.
Status score_texts(const Context& context, Engine& candidate, Engine* reference,
                   std::span<const std::string> texts, const TextLossOptions& options,
                   std::span<TextLoss> results);

}  // namespace carat
