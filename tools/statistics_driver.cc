// What tools/oracle_statistics.py compares with other implementations: reads one JSON request per line,
// answers one JSON line. Requests:
//   {"op":"mean","values":[...],"weights":[...],"clusters":[...]}
//   {"op":"mcnemar","worse":b,"better":c}
//   {"op":"damage","items":n,"worse":b,"better":c,"margin":m,"confidence":l}
//   {"op":"clusters","sums":[...],"weights":[...],"scale":s,"margin":m,"confidence":l}
//   {"op":"adjust","p":[...]}
//   {"op":"percentile","values":[...],"fraction":q,"confidence":l}
//   {"op":"power","error":e,"alpha":a,"power":p}
//   {"op":"share","successes":k,"trials":n,"confidence":l}
#include <iostream>
#include <string>
#include <vector>

#include "containers/json.h"
#include "statistics/corrections.h"
#include "statistics/distributions.h"
#include "statistics/estimates.h"
#include "statistics/paired_clusters.h"
#include "statistics/paired_shares.h"
#include "statistics/percentiles.h"
#include "statistics/power.h"

namespace {

using namespace carat;

double number(const json::value& request, std::string_view key) {
  const json::value* v = json_find(request, key);
  return v && v->is_number() ? v->to_number<double>() : 0;
}
int64_t whole(const json::value& request, std::string_view key) {
  return static_cast<int64_t>(number(request, key));
}
template <class T>
std::vector<T> list(const json::value& request, std::string_view key) {
  std::vector<T> out;
  if (const json::array* a = json_array(json_find(request, key)))
    for (const json::value& v : *a) out.push_back(static_cast<T>(v.to_number<double>()));
  return out;
}
json::array ends(const Interval& i) { return {i.low, i.high}; }

json::object answer(const json::value& request) {
  const json::string* op = json_string(json_find(request, "op"));
  const double confidence = number(request, "confidence"), margin = number(request, "margin");
  if (!op) return {{"error", "no op"}};
  if (*op == "mean") {
    const MeanEstimate m = estimate_mean(list<double>(request, "values"), list<double>(request, "weights"),
                                         list<int64_t>(request, "clusters"));
    return {{"mean", m.mean}, {"error_of_mean", m.standard_error}, {"interval", ends(m.interval)}};
  }
  if (*op == "mcnemar") {
    const McNemar m = mcnemar(whole(request, "worse"), whole(request, "better"));
    return {{"p", m.p}, {"mid_p", m.mid_p}};
  }
  if (*op == "damage") {
    const PairedCounts c{whole(request, "items"), whole(request, "worse"), whole(request, "better")};
    return {{"z", score_statistic(c, margin)},
            {"exact", exact_p_damage_at_least(c, margin)},
            {"at_least", p_damage_at_least(c, margin)},
            {"at_most", p_damage_at_most(c, margin)},
            {"interval", ends(damage_interval(c, confidence))}};
  }
  if (*op == "clusters") {
    const auto sums = list<double>(request, "sums"), weights = list<double>(request, "weights");
    std::vector<ClusterSum> clusters;
    for (size_t i = 0; i < sums.size(); ++i) clusters.push_back({sums[i], weights[i]});
    const ClusterDifference d(clusters, number(request, "scale"));
    return {{"mean", d.mean()},
            {"error_of_mean", d.standard_error()},
            {"interval", ends(d.interval(confidence))},
            {"at_least", d.p_at_least(margin)},
            {"at_most", d.p_at_most(margin)},
            {"flip", d.p_sign_flip()}};
  }
  if (*op == "adjust") {
    const auto p = list<double>(request, "p");
    return {{"holm", json::value_from(adjust_holm(p))},
            {"bh", json::value_from(adjust_benjamini_hochberg(p))}};
  }
  if (*op == "percentile") {
    const PercentileEstimate e =
        estimate_percentile(list<double>(request, "values"), number(request, "fraction"), confidence);
    return {{"value", e.value}, {"interval", ends(e.interval)}};
  }
  if (*op == "power")
    return {{"effect", detectable_effect(number(request, "error"), number(request, "alpha"),
                                         number(request, "power"))}};
  if (*op == "share")
    return {
        {"interval", ends(exact_share(number(request, "successes"), number(request, "trials"), confidence))}};
  return {{"error", "unknown op"}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto request = carat::parse_json(line);
    std::cout << (request ? boost::json::serialize(answer(*request)) : "{\"error\":\"not JSON\"}")
              << std::endl;
  }
}
