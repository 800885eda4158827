#include "gates/metrics.h"

#include <algorithm>
#include <initializer_list>

namespace carat {
namespace {

constexpr MetricFacts right(std::string_view name) {
  return {.name = name, .higher_is_better = true, .share = true, .judgement = true};
}
constexpr MetricFacts good_share(std::string_view name) {
  return {.name = name, .higher_is_better = true, .share = true};
}
constexpr MetricFacts bad_share(std::string_view name) { return {.name = name, .share = true}; }

constexpr MetricFacts kMetrics[] = {
    // Choices.
    right("acc"),
    right("acc_norm"),
    right("acc_chars"),
    right("greedy"),
    // Texts.
    {.name = "nll", .per_token = true},
    {.name = "bits_per_byte"},
    {.name = "gold_nll"},
    {.name = "kl", .per_token = true, .divergence = true},
    {.name = "same_top",
     .higher_is_better = true,
     .share = true,
     .per_token = true,
     .divergence = true,
     .at_reference = 1},
    // Judgements of checks ...
    right("exact"),
    right("f1"),
    right("letter"),
    right("numeric"),
    right("regex"),
    right("pass"),
    right("any"),
    right("all"),
    right("share"),
    right("schema_valid"),
    right("ast"),
    right("prompt_strict"),
    right("prompt_loose"),
    right("instruction_strict"),
    right("instruction_loose"),
    {.name = "rating", .higher_is_better = true},
    // ... and what they say besides.
    good_share("found"),
    good_share("marked"),
    good_share("runs"),
    good_share("json_valid"),
    good_share("name"),
    bad_share("truncated"),
    bad_share("looped"),
};

}  // namespace

const MetricFacts* find_metric(std::string_view name) {
  const auto* at = std::ranges::find(kMetrics, name, &MetricFacts::name);
  return at == std::end(kMetrics) ? nullptr : at;
}

bool is_descriptive(std::string_view name) {
  const auto names = {"chance", "generated_tokens", "reasoning_bytes", "tokens"};
  return std::ranges::any_of(names, [&](std::string_view n) { return n == name; });
}

}  // namespace carat
