// The sections of the page, top to bottom. Each is empty where the cards have nothing for it.
#pragma once

#include "report/evidence.h"
#include "report/markup.h"

namespace carat {

Markup headline(const Evidence& evidence);            ///< the decision in a sentence or two
Markup variants_section(const Evidence& evidence);    ///< each candidate: verdict, reasons, worst slice
Markup quality_section(const Evidence& evidence);     ///< quality against bytes
Markup slices_section(const Evidence& evidence);      ///< the heat map
Markup policy_section(const Evidence& evidence);      ///< what the policy asked and what came out
Markup divergence_section(const Evidence& evidence);  ///< KL per dimension
Markup layers_section(const Evidence& evidence);
Markup latency_section(const Evidence& evidence);
Markup flips_section(const Evidence& evidence);
Markup provenance_section(const Evidence& evidence);

/// The variant's letter in its colour, and its name.
Markup variant_tag(const Evidence& evidence, size_t card, int64_t columns);
/// A table head: one column for each candidate (each card, with the baseline), after `first` columns.
Markup variant_columns(const Evidence& evidence, bool with_baseline);

struct VerdictWords {
  std::string_view symbol, word, meaning, style;
};
VerdictWords words_of(GateVerdict verdict);

/// "98.7 MB"
std::string bytes_text(int64_t bytes);

}  // namespace carat
