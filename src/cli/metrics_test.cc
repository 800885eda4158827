// Every metric that this program can write into a card has a direction, or is known to have none: the folders
// that make metrics and the one that compares them do not see each other.
#include <gtest/gtest.h>

#include "checks/check.h"
#include "gates/metrics.h"

namespace carat {
namespace {

TEST(Metrics, OfEveryCheckAreKnownToTheGates) {
  for (const CheckKind& kind : check_kinds()) {
    ASSERT_FALSE(kind.metrics.empty());
    for (const std::string_view metric : kind.metrics)
      EXPECT_TRUE(find_metric(metric) || is_descriptive(metric))
          << metric << " of the check " << kind.name << " is missing in gates/metrics.cc";
    const MetricFacts* first = find_metric(kind.metrics[0]);
    EXPECT_TRUE(first && first->higher_is_better);
  }
}

TEST(Metrics, OfEveryTaskAreKnownToTheGates) {
  for (const char* metric :
       {"acc", "acc_norm", "acc_chars", "gold_nll", "chance", "greedy", "nll", "bits_per_byte", "kl",
        "same_top", "generated_tokens", "reasoning_bytes", "truncated", "looped"})
    EXPECT_TRUE(find_metric(metric) || is_descriptive(metric)) << metric;
}

}  // namespace
}  // namespace carat
