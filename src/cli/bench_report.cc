#include "cli/bench_report.h"

#include <algorithm>

#include "cli/format.h"

namespace carat {
namespace {

bool is_prefill(const SpeedCase& c) { return c.kind == SpeedCase::Kind::prefill; }

std::string case_name(const SpeedCase& c) {
  std::string name = fmt::format("{} {}", is_prefill(c) ? "prefill" : "decode", c.tokens);
  if (c.batch > 1) name += fmt::format(" x{}", c.batch);
  if (c.depth > 0) name += fmt::format(" at {}", c.depth);
  return name;
}

/// Half the distance between the slowest and the fastest, in percent of the median.
double percent_around(const Spread& s) { return s.median > 0 ? 50 * (s.high - s.low) / s.median : 0; }

std::string speed_table(const BenchReport& report, size_t engine) {
  std::string out = fmt::format("{:<21} {:>3}  {:>9} {:>6}  {:>7} {:>5}  {:>7} {:>5}\n", "test", "thr",
                                "tokens/s", "+-", "GB/s", "share", "Gop/s", "share");
  for (const SpeedResult& r : report.speed.results) {
    if (r.engine != engine) continue;
    out += fmt::format("{:<21} {:>3}  {:>9.2f} {:>4.0f} %  {:>7.1f} {:>3.0f} %  {:>7.1f} {:>3.0f} %\n",
                       case_name(r.what), r.threads, r.rate.median, percent_around(r.rate),
                       r.bytes * r.rate.median * 1e-9, 100 * r.memory.median,
                       r.operations * r.rate.median * 1e-9, 100 * r.compute.median);
  }
  return out;
}

std::string limits_text(const SpeedReport& speed) {
  std::string out = "the machine           thr     reads GB/s    Gop/s: int8   bf16    f32\n";
  for (const auto& [threads, l] : speed.limits) {
    const std::string bf16 = l.bf16 > 0 ? fmt::format("{:.0f}", l.bf16 * 1e-9) : "-";
    out += fmt::format("{:<21} {:>3}  {:>13.1f}  {:>13.0f} {:>6} {:>6.0f}\n", "", threads, l.read * 1e-9,
                       l.int8 * 1e-9, bf16, l.f32 * 1e-9);
  }
  return out;
}

std::string energy_text(const SpeedReport& speed) {
  std::string out;
  for (const SpeedResult& r : speed.results)
    if (r.engine == 0 && r.joules)
      out += fmt::format("{:<21} {:>3}  {:>9.3f} J/token\n", case_name(r.what), r.threads, r.joules->median);
  return out.empty() ? "energy: this system does not let programs read the processor's counters\n" : out;
}

/// Result of engine 1 in the same case.
const SpeedResult* counterpart(const SpeedReport& speed, const SpeedResult& r) {
  for (const SpeedResult& other : speed.results)
    if (other.engine == 1 && other.threads == r.threads && case_name(other.what) == case_name(r.what))
      return &other;
  return nullptr;
}

std::string comparison_text(const BenchReport& report) {
  std::string out = fmt::format("against {}\n", printable(report.reference));
  for (const SpeedResult& r : report.speed.results) {
    const SpeedResult* other = r.engine == 0 ? counterpart(report.speed, r) : nullptr;
    if (!other || other->rate.median <= 0) continue;
    const double ratio = r.rate.median / other->rate.median;
    out +=
        fmt::format("{:<21} {:>3}  {:>9.2f} tokens/s: this model is {:.2f} times as fast{}\n",
                    case_name(r.what), r.threads, other->rate.median, ratio, ratio < 1.05 ? ": no gain" : "");
  }
  return out;
}

std::string profile_text(const ProfileReport& p) {
  std::string out = fmt::format("profile of {}, {} thread{}: {:.1f} ms\n", case_name(p.what), p.threads,
                                p.threads == 1 ? "" : "s", p.seconds * 1e3);
  out += fmt::format("{:<18} {:<17} {:>6} {:>9} {:>5} {:>7} {:>7} {:>5}\n", "operation", "weights", "calls",
                     "ms", "time", "GB/s", "Gop/s", "roof");
  double booked = 0;
  const auto line = [&](const ProfileLine& l) {
    // The roof is whichever limit the operation meets first.
    const double roof =
        std::max(memory_share(l.work, p.limits, l.seconds), compute_share(l.work, p.limits, l.seconds));
    const auto rate = [&](double n) {
      return n > 0 && l.seconds > 0 ? fmt::format("{:.1f}", n / l.seconds * 1e-9) : "-";
    };
    out += fmt::format("{:<18} {:<17} {:>6} {:>9.2f} {:>3.0f} % {:>7} {:>7} {:>5}\n", l.operation,
                       clipped(l.detail, 17), l.calls, l.seconds * 1e3, 100 * l.seconds / p.seconds,
                       rate(l.work.bytes), rate(l.work.operations()),
                       roof > 0 ? fmt::format("{:.0f} %", 100 * roof) : "-");
  };
  for (const ProfileLine& l : p.lines) {
    line(l);
    booked += l.seconds;
  }
  line({"between them", "", 0, p.seconds - booked, {}});
  return out;
}

std::string sustained_text(const BenchReport& report) {
  const auto [low, high] = std::ranges::minmax(report.sustained);
  std::string out = fmt::format(
      "sustained for {:.0f} s: {:.2f} tokens/s at first, {:.2f} at last ({:.2f} to "
      "{:.2f})\n ",
      report.sustained_seconds, report.sustained.front(), report.sustained.back(), low, high);
  for (const double rate : report.sustained) out += fmt::format(" {:.1f}", rate);
  return out + "\n";
}

std::string rounding_text(const std::vector<RoundingRate>& rounding) {
  std::string out = fmt::format("{:<21} {:>3}  {:>9} {:>6}  {:>7}\n", "quantize BF16 to", "thr", "Mweight/s",
                                "+-", "memory");
  for (const RoundingRate& r : rounding) {
    out += fmt::format("{:<21} {:>3}  {:>9.1f} {:>4.0f} %  {:>5.0f} %", r.recipe, r.threads,
                       r.rate.median * 1e-6, percent_around(r.rate), 100 * r.memory.median);
    if (r.encodings.size() > 1)
      for (const auto& [encoding, rate] : r.encodings)
        out += fmt::format(" {} {:.0f}", encoding->name, rate * 1e-6);
    out += "\n";
  }
  return out;
}

json::object spread_json(const Spread& s) { return {{"median", s.median}, {"low", s.low}, {"high", s.high}}; }

json::value positive_or_null(double x) { return x > 0 ? json::value(x) : json::value(nullptr); }

json::object limits_json(int threads, const Limits& l) {
  return {{"threads", threads},
          {"read_bytes_per_second", l.read},
          {"int8_operations_per_second", l.int8},
          {"bf16_operations_per_second", positive_or_null(l.bf16)},
          {"f32_operations_per_second", l.f32}};
}

json::object case_json(const SpeedCase& c, int threads) {
  return {{"test", is_prefill(c) ? "prefill" : "decode"},
          {"tokens", c.tokens},
          {"depth", c.depth},
          {"batch", c.batch},
          {"threads", threads}};
}

json::object result_json(const SpeedResult& r) {
  json::object out = case_json(r.what, r.threads);
  out["tokens_per_second"] = spread_json(r.rate);
  out["memory_bandwidth_fraction"] = spread_json(r.memory);
  out["compute_fraction"] = spread_json(r.compute);
  out["bytes_per_token"] = r.bytes;
  out["operations_per_token"] = r.operations;
  out["joules_per_token"] = r.joules ? json::value(spread_json(*r.joules)) : json::value(nullptr);
  return out;
}

json::object profile_json(const ProfileReport& p) {
  json::object out = case_json(p.what, p.threads);
  out["seconds"] = p.seconds;
  json::array lines;
  for (const ProfileLine& l : p.lines) {
    lines.push_back({{"operation", l.operation},
                     {"weights", l.detail},
                     {"calls", l.calls},
                     {"seconds", l.seconds},
                     {"bytes", l.work.bytes},
                     {"operations", l.work.operations()},
                     {"memory_bandwidth_fraction", memory_share(l.work, p.limits, l.seconds)},
                     {"compute_fraction", compute_share(l.work, p.limits, l.seconds)}});
  }
  out["operations"] = std::move(lines);
  return out;
}

json::array results_json(const SpeedReport& speed, size_t engine) {
  json::array out;
  for (const SpeedResult& r : speed.results)
    if (r.engine == engine) out.push_back(result_json(r));
  return out;
}

/// The plain figures: the first prefill and the first decode, with the last number of threads.
void add_headline(const SpeedReport& speed, json::object& out) {
  for (const SpeedResult& r : speed.results) {
    if (r.engine != 0 || r.threads != speed.limits.back().first) continue;
    const bool prefill = is_prefill(r.what);
    const char* rate = prefill ? "prefill_tokens_per_second" : "decode_tokens_per_second";
    if (out.contains(rate)) continue;
    out[rate] = r.rate.median;
    out[prefill ? "compute_fraction" : "memory_bandwidth_fraction"] =
        prefill ? r.compute.median : r.memory.median;
  }
}

}  // namespace

std::string bench_text(const BenchReport& report) {
  std::string out;
  if (!report.speed.results.empty()) {
    out += speed_table(report, 0) + "\n" + limits_text(report.speed);
    if (!report.reference.empty()) out += "\n" + comparison_text(report);
    out += "\n" + energy_text(report.speed);
  }
  if (report.start)
    out += fmt::format("ready to take tokens after {:.0f} ms, first token after {} of prompt: {:.0f} ms\n",
                       report.start->ready.median * 1e3, report.start->prompt,
                       report.start->first_token.median * 1e3);
  if (!report.sustained.empty()) out += sustained_text(report);
  if (!report.rounding.empty()) out += (out.empty() ? "" : "\n") + rounding_text(report.rounding);
  for (const ProfileReport& p : report.profiles) out += "\n" + profile_text(p);
  return out;
}

json::object bench_json(const BenchReport& report) {
  json::object out{{"model", report.model},
                   {"file_bytes", report.file_bytes},
                   {"isa", report.isa},
                   {"activation_scheme", report.activation_scheme},
                   {"kv", report.kv}};
  add_headline(report.speed, out);
  out["results"] = results_json(report.speed, 0);
  if (!report.reference.empty())
    out["reference"] = {{"model", report.reference}, {"results", results_json(report.speed, 1)}};
  json::array limits, rounding, profiles;
  for (const auto& [threads, l] : report.speed.limits) limits.push_back(limits_json(threads, l));
  out["limits"] = std::move(limits);
  if (report.start) {
    out["ready_seconds"] = report.start->ready.median;
    out["first_token_seconds"] = report.start->first_token.median;
  }
  if (!report.sustained.empty())
    out["sustained"] = {{"seconds", report.sustained_seconds},
                        {"tokens_per_second", json::value_from(report.sustained)}};
  for (const RoundingRate& r : report.rounding) {
    json::object encodings;
    for (const auto& [encoding, rate] : r.encodings) encodings[encoding->name] = rate;
    rounding.push_back({{"recipe", r.recipe},
                        {"threads", r.threads},
                        {"weights_per_second", spread_json(r.rate)},
                        {"memory_bandwidth_fraction", spread_json(r.memory)},
                        {"encodings", std::move(encodings)}});
  }
  if (!report.rounding.empty()) out["quantize"] = std::move(rounding);
  for (const ProfileReport& p : report.profiles) profiles.push_back(profile_json(p));
  if (!report.profiles.empty()) out["profiles"] = std::move(profiles);
  return out;
}

}  // namespace carat
