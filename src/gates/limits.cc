// Times have a distribution, so that a limit on a percentile is judged by its interval; bytes, memory and
// prices are what they are.
#include <algorithm>
#include <cmath>

#include "gates/gate.h"
#include "statistics/percentiles.h"

namespace carat {
namespace {

// One time of one answer; 0 where it was not measured.
double time_of(const Record& r, Quantity quantity) {
  if (r.outcome != Outcome::scored || r.seconds <= 0) return 0;
  switch (quantity) {
    case Quantity::answer_seconds:
      return r.seconds;
    case Quantity::first_token_seconds:
      return r.first_token_seconds;
    case Quantity::seconds_per_token:
      return r.first_token_seconds > 0 && r.generated_tokens > 1
                 ? (r.seconds - r.first_token_seconds) / static_cast<double>(r.generated_tokens - 1)
                 : 0;
    default:
      return 0;
  }
}

bool is_time(Quantity q) {
  return q == Quantity::answer_seconds || q == Quantity::first_token_seconds ||
         q == Quantity::seconds_per_token;
}

double number_at(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  return v && v->is_number() ? v->to_number<double>() : 0;
}

// What a million tokens cost on a machine that is paid by the hour, at the speed of the card's evaluation:
// price / (tokens per second x 3600) x 10^6.
double price_of(const Scorecard& card, const Limit& limit) {
  if (!limit.price_per_hour) return number_at(card.performance, "price_per_million_tokens");
  const json::value* session = card.performance.if_contains("last_session");
  const double rate =
      session && session->is_object() ? number_at(session->get_object(), "tokens_per_second") : 0;
  return rate > 0 ? *limit.price_per_hour / (rate * 3600) * 1e6 : 0;
}

// 0 where the card does not say.
double fact_of(const Scorecard& card, const Limit& limit) {
  switch (limit.quantity) {
    case Quantity::file_bytes:
      return static_cast<double>(card.file_bytes);
    case Quantity::memory_bytes:
      return number_at(card.performance, "peak_memory_bytes");
    case Quantity::price_per_million_tokens:
      return price_of(card, limit);
    default:
      return 0;
  }
}

// Times of answers that both cards have, in the same order.
struct Times {
  std::vector<double> baseline, candidate;          // paired
  std::vector<double> all_baseline, all_candidate;  // whether or not the other has one
};

std::vector<const Record*> timed(const Scorecard& card, Quantity quantity, std::vector<double>& all) {
  std::vector<const Record*> out;
  for (const Record& r : card.records)
    if (const double t = time_of(r, quantity); t > 0) out.push_back(&r), all.push_back(t);
  std::ranges::sort(out, [](const Record* a, const Record* b) { return record_key(*a) < record_key(*b); });
  return out;
}

Times times_of(const GateInput& input, Quantity quantity) {
  Times out;
  const auto a = timed(input.baseline, quantity, out.all_baseline);
  const auto b = timed(input.candidate, quantity, out.all_candidate);
  for (size_t i = 0, k = 0; i < a.size() && k < b.size();) {
    if (record_key(*a[i]) < record_key(*b[k]))
      ++i;
    else if (record_key(*b[k]) < record_key(*a[i]))
      ++k;
    else
      out.baseline.push_back(time_of(*a[i++], quantity)), out.candidate.push_back(time_of(*b[k++], quantity));
  }
  return out;
}

// One bound against one interval: the worse of several bounds is what the limit says.
struct Judged {
  GateVerdict verdict = GateVerdict::inconclusive;
  std::string reason;
  double bound = 0;
  Interval interval;
};

Judged judge_bound(const Interval& interval, double bound, std::string_view of) {
  Judged out;
  out.bound = bound, out.interval = interval;
  if (interval.high <= bound)
    out.verdict = GateVerdict::pass;
  else if (interval.low > bound)
    out.verdict = GateVerdict::breach;
  out.reason =
      interval.low == interval.high
          ? fmt::format("{:.4g}{}, and {:.4g} is allowed", interval.low, of, bound)
          : fmt::format("{:.4g} to {:.4g}{}, and {:.4g} is allowed", interval.low, interval.high, of, bound);
  return out;
}

int rank(GateVerdict v) { return v == GateVerdict::breach ? 0 : v == GateVerdict::pass ? 2 : 1; }

void take_worst(const std::vector<Judged>& judged, GateResult& out) {
  const auto worst = std::ranges::min_element(judged, {}, [](const Judged& j) { return rank(j.verdict); });
  out.verdict = worst->verdict, out.reason = worst->reason, out.margin = worst->bound;
  out.difference.interval = worst->interval;
}

constexpr std::string_view kOfBaseline = " times the baseline's";

void judge_time(const Policy& policy, const Limit& limit, const GateInput& input, GateResult& out) {
  const Times times = times_of(input, limit.quantity);
  const PercentileEstimate before =
      estimate_percentile(times.all_baseline, limit.percentile, policy.confidence);
  const PercentileEstimate after =
      estimate_percentile(times.all_candidate, limit.percentile, policy.confidence);
  out.difference.baseline = before.value, out.difference.candidate = after.value;
  out.difference.items = after.items;
  if (after.items == 0) {
    out.reason = "the candidate's card holds no such times";
    return;
  }
  std::vector<Judged> judged;
  if (limit.at_most) judged.push_back(judge_bound(after.interval, *limit.at_most, " s"));
  if (limit.at_most_ratio)
    judged.push_back(judge_bound(
        percentile_ratio_interval(times.baseline, times.candidate, limit.percentile, policy.confidence),
        *limit.at_most_ratio, kOfBaseline));
  take_worst(judged, out);
}

void judge_fact(const Limit& limit, const GateInput& input, GateResult& out) {
  const double before = fact_of(input.baseline, limit), after = fact_of(input.candidate, limit);
  out.difference.baseline = before, out.difference.candidate = after;
  if (after <= 0 || (limit.at_most_ratio && before <= 0)) {
    out.reason = fmt::format("the {} card does not say", after <= 0 ? "candidate's" : "baseline's");
    return;
  }
  std::vector<Judged> judged;
  if (limit.at_most) judged.push_back(judge_bound({after, after}, *limit.at_most, ""));
  if (limit.at_most_ratio)
    judged.push_back(judge_bound({after / before, after / before}, *limit.at_most_ratio, kOfBaseline));
  take_worst(judged, out);
}

}  // namespace

GateResult judge_limit(const Policy& policy, const Limit& limit, const GateInput& input) {
  GateResult out;
  out.tier = tier_name(limit.tier);
  out.difference.metric = quantity_name(limit.quantity);
  out.margin = limit.at_most ? *limit.at_most : *limit.at_most_ratio;
  if (is_time(limit.quantity)) {
    out.subject = fmt::format("p{:g} of {}", 100 * limit.percentile, quantity_name(limit.quantity));
    judge_time(policy, limit, input, out);
  } else {
    out.subject = quantity_name(limit.quantity);
    judge_fact(limit, input, out);
  }
  out.difference.damage = out.difference.candidate - out.difference.baseline;
  return out;
}

}  // namespace carat
