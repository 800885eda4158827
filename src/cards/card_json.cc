// A card as JSON and back. Numbers that JSON cannot hold (a log-likelihood of minus infinity) are the strings
// "Infinity", "-Infinity" and "NaN"; members of a record that have their default are left out, since there
// may be a hundred thousand records.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "cards/scorecard.h"
#include "cards/valid_json.h"
#include "containers/quote.h"

namespace carat {
namespace {

constexpr std::string_view kOutcomes[] = {"scored", "unscored", "failed"};

json::object score_json(const SliceScore& s) {
  return {{"task", json_text(s.task)},
          {"dimension", json_text(s.dimension)},
          {"slice", json_text(s.slice)},
          {"metric", json_text(s.metric)},
          {"mean", json_number(s.value.mean)},
          {"standard_error", json_number(s.value.standard_error)},
          {"interval", {json_number(s.value.interval.low), json_number(s.value.interval.high)}},
          {"scored", s.value.items},
          {"clusters", s.value.clusters},
          {"items", s.items},
          {"unscored", s.unscored},
          {"failed", s.failed}};
}

json::object record_json(const Record& r) {
  json::object o{{"task", json_text(r.task)}, {"item", json_text(r.item)}};
  if (r.repeat != 0) o["repeat"] = r.repeat;
  if (!r.cluster.empty()) o["cluster"] = json_text(r.cluster);
  if (!r.slices.empty()) {
    json::array slices;
    for (const std::string& s : r.slices) slices.emplace_back(json_text(s));
    o["slices"] = std::move(slices);
  }
  o["outcome"] = outcome_name(r.outcome);
  if (!r.metrics.empty()) {
    json::object metrics;
    for (const auto& [name, value] : r.metrics) metrics[json_text(name)] = json_number(value);
    o["metrics"] = std::move(metrics);
  }
  if (r.weight != 1) o["weight"] = json_number(r.weight);
  const auto text = [&](const char* key, const std::string& value) {
    if (!value.empty()) o[key] = json_text(value);
  };
  text("question", r.question);
  text("answer", r.answer);
  text("expected", r.expected);
  text("reason", r.reason);
  if (r.prompt_tokens != 0) o["prompt_tokens"] = r.prompt_tokens;
  if (r.generated_tokens != 0) o["generated_tokens"] = r.generated_tokens;
  if (r.truncated) o["truncated"] = true;
  if (r.looped) o["looped"] = true;
  if (r.seconds != 0) o["seconds"] = json_number(r.seconds);
  if (r.first_token_seconds != 0) o["first_token_seconds"] = json_number(r.first_token_seconds);
  return o;
}

/// Typed look-ups in one object; the first that fails is remembered, so that a card reads as a list of its
/// members.
class Members {
 public:
  Members(const json::object& object, std::string where) : object_(object), where_(std::move(where)) {}

  void read(std::string_view key, std::string& out, bool required = true) {
    if (const auto* v = find(key, required)) {
      if (const auto* s = v->if_string())
        out.assign(s->data(), s->size());
      else
        fail(key, "is not a string");
    }
  }
  void read(std::string_view key, int64_t& out, bool required = true) {
    if (const auto* v = find(key, required)) {
      if (const auto* i = v->if_int64(); i && *i >= 0)
        out = *i;
      else
        fail(key, "is not a whole number from 0 to 2^63 - 1");
    }
  }
  void read(std::string_view key, double& out, bool required = true) {
    if (const auto* v = find(key, required)) read_number(*v, key, out);
  }
  void read(std::string_view key, bool& out, bool required = true) {
    if (const auto* v = find(key, required)) {
      if (const auto* b = v->if_bool())
        out = *b;
      else
        fail(key, "is neither true nor false");
    }
  }
  void read(std::string_view key, json::object& out, bool required = true) {
    if (const auto* o = object(key, required)) out = *o;
  }
  const json::object* object(std::string_view key, bool required = true) {
    const auto* v = find(key, required);
    if (v && !v->is_object()) fail(key, "is not an object");
    return json_object(v);
  }
  const json::array* array(std::string_view key, bool required = true) {
    const auto* v = find(key, required);
    if (v && !v->is_array()) fail(key, "is not an array");
    return json_array(v);
  }
  void read_number(const json::value& value, std::string_view key, double& out) {
    if (const auto* s = value.if_string()) {
      const double infinity = std::numeric_limits<double>::infinity();
      if (*s == "NaN") return void(out = std::numeric_limits<double>::quiet_NaN());
      if (*s == "Infinity") return void(out = infinity);
      if (*s == "-Infinity") return void(out = -infinity);
    } else if (value.is_number()) {
      return void(out = value.to_number<double>());
    }
    fail(key, "is not a number");
  }
  void fail(std::string_view key, std::string_view what) {
    if (status_) status_ = bad_data("{}{} {}", where_, key, what);
  }
  Status status() const { return status_; }

 private:
  const json::value* find(std::string_view key, bool required) {
    const json::value* v = object_.if_contains(key);
    if (!v && required) fail(key, "is missing");
    return v;
  }

  const json::object& object_;
  std::string where_;
  Status status_;
};

Result<SliceScore> read_score(const json::object& object, std::string where) {
  Members m(object, std::move(where));
  SliceScore s;
  m.read("task", s.task);
  m.read("dimension", s.dimension);
  m.read("slice", s.slice);
  m.read("metric", s.metric);
  m.read("mean", s.value.mean);
  m.read("standard_error", s.value.standard_error);
  if (const auto* interval = m.array("interval")) {
    if (interval->size() == 2) {
      m.read_number((*interval)[0], "interval[0]", s.value.interval.low);
      m.read_number((*interval)[1], "interval[1]", s.value.interval.high);
    } else {
      m.fail("interval", "is not a pair of numbers");
    }
  }
  m.read("scored", s.value.items);
  m.read("clusters", s.value.clusters);
  m.read("items", s.items);
  m.read("unscored", s.unscored);
  m.read("failed", s.failed);
  CARAT_DO(m.status());
  return s;
}

Result<Record> read_record(const json::object& object, std::string where) {
  Members m(object, std::move(where));
  Record r;
  m.read("task", r.task);
  m.read("item", r.item);
  m.read("repeat", r.repeat, false);
  m.read("cluster", r.cluster, false);
  if (const auto* slices = m.array("slices", false)) {
    for (const auto& s : *slices) {
      if (const auto* text = s.if_string())
        r.slices.emplace_back(text->data(), text->size());
      else
        m.fail("slices", "holds something that is not a string");
    }
  }
  std::string outcome;
  m.read("outcome", outcome);
  const auto at = std::ranges::find(kOutcomes, outcome);
  if (at == std::end(kOutcomes))
    m.fail("outcome", "is none of scored, unscored, failed");
  else
    r.outcome = static_cast<Outcome>(at - std::begin(kOutcomes));
  if (const auto* metrics = m.object("metrics", false)) {
    for (const auto& [name, value] : *metrics) {
      double x = 0;
      m.read_number(value, "metrics", x);
      r.metrics.emplace_back(std::string(name), x);
    }
  }
  m.read("weight", r.weight, false);
  if (!std::isfinite(r.weight) || r.weight < 0) m.fail("weight", "is negative or not finite");
  m.read("question", r.question, false);
  m.read("answer", r.answer, false);
  m.read("expected", r.expected, false);
  m.read("reason", r.reason, false);
  m.read("prompt_tokens", r.prompt_tokens, false);
  m.read("generated_tokens", r.generated_tokens, false);
  m.read("truncated", r.truncated, false);
  m.read("looped", r.looped, false);
  m.read("seconds", r.seconds, false);
  m.read("first_token_seconds", r.first_token_seconds, false);
  CARAT_DO(m.status());
  return r;
}

/// Sorts, and refuses a record that is there twice.
Status order_records(std::vector<Record>& records) {
  std::ranges::sort(records, {}, record_key);
  const auto twice = std::ranges::adjacent_find(records, {}, record_key);
  if (twice == records.end()) return {};
  return bad_data("records holds repeat {} of item {} of task {} twice", twice->repeat, quote(twice->item),
                  quote(twice->task));
}

}  // namespace

std::string_view outcome_name(Outcome outcome) { return kOutcomes[static_cast<size_t>(outcome)]; }

json::value to_json(const Scorecard& card, bool with_records) {
  json::object o;
  o["schema_version"] = Scorecard::schema_version;
  o["run"] = card.run;
  o["variant"] = json::object{{"name", json_text(card.variant.name)},
                              {"model", json_text(card.variant.model)},
                              {"model_digest", json_text(card.variant.model_digest)},
                              {"settings", valid_json(card.variant.settings)}};
  o["reference"] = json_text(card.reference);
  o["suite"] = json::object{{"name", json_text(card.suite)},
                            {"version", json_text(card.suite_version)},
                            {"digest", json_text(card.suite_digest)}};
  o["complete"] = card.complete;
  o["file_bytes"] = card.file_bytes;
  o["provenance"] = valid_json(card.provenance);
  o["performance"] = valid_json(card.performance);
  json::array scores;
  for (const SliceScore& s : card.scores) scores.push_back(score_json(s));
  o["scores"] = std::move(scores);
  if (with_records) {
    json::array records;
    for (const Record& r : card.records) records.push_back(record_json(r));
    o["records"] = std::move(records);
  }
  return o;
}

Result<Scorecard> scorecard_from_json(const json::value& value) {
  const json::object* o = value.if_object();
  if (!o) return bad_data("not a scorecard: the JSON is no object");
  Members m(*o, "");
  int64_t schema_version = 0;
  m.read("schema_version", schema_version);
  CARAT_DO(m.status());
  if (schema_version != Scorecard::schema_version)
    return bad_data(
        "a scorecard of schema_version {}; this carat reads {}: make it again, or use the carat "
        "that wrote it",
        schema_version, Scorecard::schema_version);
  Scorecard card;
  m.read("run", card.run, false);
  if (const auto* v = m.object("variant")) {
    Members variant(*v, "variant.");
    variant.read("name", card.variant.name);
    variant.read("model", card.variant.model, false);
    variant.read("model_digest", card.variant.model_digest);
    variant.read("settings", card.variant.settings, false);
    CARAT_DO(variant.status());
  }
  m.read("reference", card.reference, false);
  if (const auto* s = m.object("suite")) {
    Members suite(*s, "suite.");
    suite.read("name", card.suite);
    suite.read("version", card.suite_version);
    suite.read("digest", card.suite_digest);
    CARAT_DO(suite.status());
  }
  m.read("complete", card.complete);
  m.read("file_bytes", card.file_bytes, false);
  m.read("provenance", card.provenance, false);
  m.read("performance", card.performance, false);
  const json::array* scores = m.array("scores");
  const json::array* records = m.array("records", false);
  CARAT_DO(m.status());
  for (size_t i = 0; i < scores->size(); ++i) {
    const json::object* s = (*scores)[i].if_object();
    if (!s) return bad_data("scores[{}] is not an object", i);
    CARAT_TRY(SliceScore score, read_score(*s, fmt::format("scores[{}].", i)));
    card.scores.push_back(std::move(score));
  }
  for (size_t i = 0; records && i < records->size(); ++i) {
    const json::object* r = (*records)[i].if_object();
    if (!r) return bad_data("records[{}] is not an object", i);
    CARAT_TRY(Record record, read_record(*r, fmt::format("records[{}].", i)));
    card.records.push_back(std::move(record));
  }
  CARAT_DO(order_records(card.records));
  return card;
}

}  // namespace carat
