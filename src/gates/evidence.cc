#include "gates/evidence.h"

#include <cmath>

namespace carat {

DamageTest::DamageTest(const DamageEvidence& evidence)
    : evidence_(evidence), difference_(evidence.clusters, evidence.scale) {}

Interval DamageTest::interval(double confidence) const {
  return evidence_.counted ? damage_interval(evidence_.counts, confidence) : difference_.interval(confidence);
}

double DamageTest::p_at_least(double margin) const {
  if (!evidence_.counted) return difference_.p_at_least(margin);
  return margin >= 1 ? 0 : p_damage_at_least(evidence_.counts, margin);
}

double DamageTest::p_at_most(double margin) const {
  if (!evidence_.counted) return difference_.p_at_most(margin);
  return margin >= 1 ? 1 : p_damage_at_most(evidence_.counts, margin);
}

double DamageTest::p_worse() const {
  return evidence_.counted ? mcnemar(evidence_.counts.worse, evidence_.counts.better).p
                           : difference_.p_sign_flip();
}

double DamageTest::standard_error() const {
  if (!evidence_.counted) return difference_.standard_error();
  const PairedCounts& c = evidence_.counts;
  if (c.items == 0) return 0;
  const double n = static_cast<double>(c.items), changed = static_cast<double>(c.worse + c.better);
  return std::sqrt((changed / n - c.damage() * c.damage()) / n);
}

}  // namespace carat
