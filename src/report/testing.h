// Reports of any size with figures drawn at random, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "cards/testing.h"
#include "report/report.h"

namespace carat::testing {

struct ReportShape {
  size_t candidates = 3, tasks = 4, slices = 6;  ///< slices of a task
  bool with_policy = true;
  std::string name_prefix, text = "The answer is 42.";
};

inline MeanEstimate estimate_around(double mean, double half) {
  return {mean, half / 1.96, {mean - half, mean + half}, 200, 180};
}

inline ReportInput make_report_input(const ReportShape& shape) {
  std::mt19937_64 random(11);
  const auto draw = [&](double low, double high) {
    return low + (high - low) * std::generate_canonical<double, 53>(random);
  };
  static constexpr const char* kFiles[] = {"Q8_0", "Q6_K", "Q4_K_M", "IQ4_XS",      "Q3_K_M",
                                           "Q4_0", "Q2_K", "Q5_K_M", "Q4_K_M+kv-q8"};
  static constexpr const char* kTasks[] = {"knowledge", "arithmetic", "reading",
                                           "text loss", "tools",      "long context"};

  ReportInput input;
  input.date = "2026-11-21T21:00:00Z";
  const auto describe = [&](Scorecard& card, double size) {
    card.complete = true;
    card.file_bytes = static_cast<int64_t>(size * 361e6);
    card.provenance = {{"carat_version", CARAT_VERSION},
                       {"date", "2026-11-20T12:00:00Z"},
                       {"threads", 2},
                       {"kernels", "avx512"},
                       {"hardware", {{"processor", "a processor"}, {"memory_bytes", 16'000'000'000}}}};
    json::array tensors;
    for (int layer = 0; layer < 30; ++layer)
      for (const char* part : {"attn_q", "ffn_down"})
        tensors.push_back({{"name", fmt::format("blk.{}.{}.weight", layer, part)},
                           {"encoding", "Q4_K"},
                           {"relative_error", draw(0.5, 1.5) * 0.01 * (1 - size) * (layer < 2 ? 2 : 1)}});
    card.provenance["tensors"] = tensors;
    json::object figures;
    for (const char* p : {"p50", "p90", "p95", "p99", "mean"}) figures[p] = draw(0.05, 0.2);
    figures["answers"] = 240;
    card.performance = {
        {"first_token_seconds", figures},
        {"answer_seconds", figures},
        {"formulas", {{"first_token_seconds", "first token - prompt begun"}}},
        {"peak_memory_bytes", 512'000'000},
        {"planned_memory",
         {{"weights_bytes", card.file_bytes}, {"total_bytes", card.file_bytes + 94'000'000}}}};
  };
  const auto task_name = [&](size_t t) {
    return t < std::size(kTasks) ? std::string(kTasks[t]) : fmt::format("task {}", t);
  };

  input.baseline = make_card(shape.name_prefix + "BF16");
  describe(input.baseline, 0.999);
  const auto add_scores = [&](Scorecard& card, double loss) {
    for (size_t t = 0; t < shape.tasks; ++t)
      for (size_t s = 0; s <= shape.slices; ++s) {
        SliceScore score;
        score.task = task_name(t);
        score.dimension = t % 2 ? "reasoning" : "knowledge";
        score.slice = s == 0 ? "" : fmt::format("{}subject={}", shape.name_prefix, s);
        score.metric = t == 3 ? "nll" : "acc";
        const double half = s == 0 ? 0.02 : 0.06;
        const double level = 0.4 + 0.05 * static_cast<double>(t) + 0.01 * static_cast<double>(s % 7);
        score.value = t == 3 ? estimate_around(2.5 + loss, 0.03) : estimate_around(level - loss, half);
        score.items = 200;
        card.scores.push_back(score);
        if (s == 0 && loss > 0) {
          score.metric = "kl";
          score.value = estimate_around(loss * draw(0.8, 1.2), loss * 0.1);
          card.scores.push_back(score);
        }
      }
  };
  add_scores(input.baseline, 0);

  for (size_t c = 0; c < shape.candidates; ++c) {
    ReportEntry entry;
    const double size =
        0.55 - 0.4 * static_cast<double>(c) / static_cast<double>(std::max<size_t>(shape.candidates, 2));
    const double loss = 0.002 + 0.01 * std::pow(1.9, static_cast<double>(c)) * 0.4;
    entry.card = make_card(shape.name_prefix + kFiles[c % std::size(kFiles)]);
    entry.card.variant.model_digest = std::string(64, static_cast<char>('0' + c % 10));
    describe(entry.card, size);
    add_scores(entry.card, loss);
    entry.comparison.notes = {"The two ran on other kernels: avx512 and avx2."};
    for (const SliceScore& b : input.baseline.scores) {
      SliceDifference d;
      d.task = b.task;
      d.dimension = b.dimension;
      d.slice = b.slice;
      d.metric = b.metric;
      d.binary = b.metric == "acc";
      d.baseline = b.value.mean;
      d.damage =
          loss + (b.slice.empty() ? 0 : draw(-0.02, 0.03)) + (b.slice.ends_with("=2") && c > 0 ? 0.08 : 0);
      d.candidate = d.damage * (d.binary ? -1 : 1) + d.baseline;
      const double half = b.slice.empty() ? 0.01 : 0.035;
      d.interval = {d.damage - half, d.damage + half};
      d.p_worse = d.damage > 0 ? std::exp(-4 * d.damage * d.damage / half / half) : 0.7;
      d.items = 200;
      d.clusters = 180;
      d.worse = 21;
      d.better = 9;
      entry.comparison.slices.push_back(d);
    }
    for (int f = 0; f < 12; ++f)
      entry.comparison.flips.push_back({task_name(1), fmt::format("{}", f), "subject=2",
                                        "What is 6 times 7? " + shape.text, "42", shape.text,
                                        "It is 41. " + shape.text, f < 8});
    if (shape.with_policy) {
      SurfaceDecision decision;
      decision.surface = "default";
      decision.verdict = c == 0   ? GateVerdict::pass
                         : c == 1 ? GateVerdict::inconclusive
                                  : GateVerdict::breach;
      decision.reason = "arithmetic subject=2 may lose up to 11.4 points where 2 are allowed.";
      for (const SliceDifference& d : entry.comparison.slices) {
        GateResult r;
        r.surface = "default";
        r.tier = "blocking";
        r.subject = d.task + (d.slice.empty() ? "" : " " + d.slice);
        r.difference = d;
        r.margin = 0.02;
        r.p = r.p_adjusted = d.p_worse;
        r.verdict = d.interval.low > 0.02     ? GateVerdict::breach
                    : d.interval.high <= 0.02 ? GateVerdict::pass
                                              : GateVerdict::inconclusive;
        r.items_needed = r.verdict == GateVerdict::inconclusive ? 850 : 0;
        r.reason = "The interval of the damage reaches beyond the margin.";
        decision.results.push_back(r);
      }
      std::ranges::stable_sort(decision.results, {}, [](const GateResult& r) {
        return r.verdict == GateVerdict::breach ? 0 : r.verdict == GateVerdict::inconclusive ? 1 : 2;
      });
      entry.decisions.push_back(decision);
    }
    input.candidates.push_back(std::move(entry));
  }
  if (shape.with_policy) input.policy = "ship.toml";
  return input;
}

}  // namespace carat::testing
