#include "evaluate/card.h"

#include <filesystem>

#include "evaluate/latency.h"
#include "evaluate/machine.h"

namespace carat {
namespace {

double rate(int64_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0; }

std::string derived_name(const Variant& variant) {
  if (const json::string* model = json_string(variant.settings.if_contains("endpoint_model")))
    return std::string(*model);
  return std::filesystem::path(variant.model).lexically_normal().stem().string();
}

}  // namespace

Scorecard begin_card(const Context& context, const Suite& suite, const Subject& subject, std::string name,
                     std::string reference_digest) {
  Scorecard card;
  card.variant = subject.variant();
  card.variant.name = name.empty() ? derived_name(card.variant) : std::move(name);
  card.reference = std::move(reference_digest);
  card.suite = suite.name();
  card.suite_version = suite.version();
  card.suite_digest = suite.digest();
  card.file_bytes = subject.file_bytes();
  card.provenance = subject.provenance();
  card.provenance["carat_version"] = CARAT_VERSION;
  card.provenance["threads"] = context.pool.threads();
  card.provenance["hardware"] = hardware();
  card.provenance["date"] = utc_now();
  if (json::object plan = subject.planned_memory(); !plan.empty())
    card.performance["planned_memory"] = std::move(plan);
  return card;
}

Status complete_card(const Suite& suite, Store& store, int64_t run, const RunOptions& options,
                     const RunTotals& totals, Scorecard& card) {
  ScoreSums sums;
  LatencySums latencies;
  int64_t finished = 0;
  CARAT_DO(store.for_each_record(
      run,
      [&](Record&& record) -> Status {
        sums.add(record);
        latencies.add(record);
        finished += record.outcome != Outcome::failed;
        return {};
      },
      /*failed_too=*/true));
  std::vector<std::pair<std::string, std::string>> dimensions;
  int64_t wanted = 0;
  for (size_t t = 0; t < suite.tasks().size(); ++t) {
    const Task& task = suite.tasks()[t];
    dimensions.emplace_back(task.name, task.dimension);
    wanted += suite.items(t) * repeats_of(task, options);
  }
  card.run = run;
  card.scores = sums.scores(dimensions);
  card.complete = finished == wanted;

  for (auto& [name, figures] : latencies.to_json()) card.performance[name] = std::move(figures);
  card.performance["peak_memory_bytes"] = peak_memory();
  card.performance["last_session"] = json::object{
      {"answers", totals.records},
      {"seconds", totals.seconds},
      {"answers_per_second", rate(totals.records, totals.seconds)},
      {"prompt_tokens", totals.prompt_tokens},
      {"generated_tokens", totals.generated_tokens},
      {"tokens_per_second", rate(totals.prompt_tokens + totals.generated_tokens, totals.seconds)},
      {"largest_batch", totals.largest_batch}};
  return {};
}

}  // namespace carat
