// carat bench: speed, and how much of the machine it uses.
#include <chrono>
#include <memory>

#include "arch/open_model.h"
#include "cli/checks.h"
#include "cli/format.h"
#include "cli/model_options.h"
#include "cli/verb.h"
#include "engine/engine.h"
#include "measure/speed.h"

namespace carat {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model;
  int64_t prefill = 512, decode = 128;
  std::vector<int64_t> depths = {0}, batches = {1}, threads;
  int repetitions = 5;
  ActivationScheme activations = ActivationScheme::int8_block;
};

std::string case_name(const SpeedCase& c) {
  std::string name =
      fmt::format("{} {}", c.kind == SpeedCase::Kind::prefill ? "prefill" : "decode", c.tokens);
  if (c.batch > 1) name += fmt::format(" x{}", c.batch);
  if (c.depth > 0) name += fmt::format(" at {}", c.depth);
  return name;
}

std::vector<SpeedCase> cases(const Options& o) {
  using Kind = SpeedCase::Kind;
  std::vector<SpeedCase> out;
  for (const int64_t depth : o.depths) {
    if (o.prefill > 0) out.push_back({Kind::prefill, o.prefill, depth, 1});
    if (o.decode > 0)
      for (const int64_t batch : o.batches) out.push_back({Kind::decode, o.decode, depth, batch});
  }
  return out;
}

json::object spread_json(const Spread& s) { return {{"median", s.median}, {"low", s.low}, {"high", s.high}}; }

json::object limits_json(int threads, const Limits& l) {
  return {{"threads", threads},
          {"read_bytes_per_second", l.read},
          {"int8_operations_per_second", l.int8},
          {"bf16_operations_per_second", l.bf16 > 0 ? json::value(l.bf16) : json::value(nullptr)},
          {"f32_operations_per_second", l.f32}};
}

json::object result_json(const SpeedResult& r) {
  return {{"test", r.what.kind == SpeedCase::Kind::prefill ? "prefill" : "decode"},
          {"tokens", r.what.tokens},
          {"depth", r.what.depth},
          {"batch", r.what.batch},
          {"threads", r.threads},
          {"tokens_per_second", spread_json(r.rate)},
          {"memory_bandwidth_fraction", spread_json(r.memory)},
          {"compute_fraction", spread_json(r.compute)},
          {"bytes_per_token", r.bytes},
          {"operations_per_token", r.operations}};
}

json::object report_json(const Options& o, const SpeedReport& report, const Engine& engine, double ready) {
  json::object out{{"model", o.model},
                   {"file_bytes", engine.checkpoint().file_bytes},
                   {"activation_scheme", engine.activation_scheme()},
                   {"isa", isa_name(*chosen_isa())},
                   {"ready_seconds", ready}};
  // The plain figures are those of the first prefill and the first decode with the last number of threads.
  for (const SpeedResult& r : report.results) {
    if (r.threads != report.limits.back().first) continue;
    const bool prefill = r.what.kind == SpeedCase::Kind::prefill;
    const char* rate = prefill ? "prefill_tokens_per_second" : "decode_tokens_per_second";
    if (out.contains(rate)) continue;
    out[rate] = r.rate.median;
    out[prefill ? "compute_fraction" : "memory_bandwidth_fraction"] =
        prefill ? r.compute.median : r.memory.median;
  }
  json::array results, limits;
  for (const SpeedResult& r : report.results) results.push_back(result_json(r));
  for (const auto& [threads, l] : report.limits) limits.push_back(limits_json(threads, l));
  out["results"] = std::move(results);
  out["limits"] = std::move(limits);
  return out;
}

std::string report_text(const SpeedReport& report, double ready) {
  std::string out = fmt::format("{:<24} {:>3}  {:>9} {:>7}  {:>8} {:>5}  {:>8} {:>5}\n", "test", "thr",
                                "tokens/s", "+-", "GB/s", "share", "Gop/s", "share");
  for (const SpeedResult& r : report.results) {
    const double half = r.rate.median > 0 ? 50 * (r.rate.high - r.rate.low) / r.rate.median : 0;
    out += fmt::format("{:<24} {:>3}  {:>9.2f} {:>5.1f} %  {:>8.1f} {:>3.0f} %  {:>8.1f} {:>3.0f} %\n",
                       case_name(r.what), r.threads, r.rate.median, half, r.bytes * r.rate.median * 1e-9,
                       100 * r.memory.median, r.operations * r.rate.median * 1e-9, 100 * r.compute.median);
  }
  out += "\n";
  for (const auto& [threads, l] : report.limits) {
    out += fmt::format("the machine, {} thread{}: reads {:.1f} GB/s; int8 {:.0f}, ", threads,
                       threads == 1 ? "" : "s", l.read * 1e-9, l.int8 * 1e-9);
    if (l.bf16 > 0) out += fmt::format("bf16 {:.0f}, ", l.bf16 * 1e-9);
    out += fmt::format("f32 {:.0f} Gop/s\n", l.f32 * 1e-9);
  }
  out += fmt::format("ready to generate after {:.3f} s\n", ready);
  return out;
}

Status bench(Options options, Invocation& run) {
  SpeedOptions speed;
  speed.cases = cases(options);
  speed.repetitions = options.repetitions;
  for (const int64_t n : options.threads) speed.threads.push_back(static_cast<int>(n));
  if (speed.threads.empty()) speed.threads.push_back(run.context.pool.threads());
  EngineOptions engine_options;
  engine_options.activations = options.activations;
  for (const SpeedCase& c : speed.cases)
    engine_options.context = std::max(engine_options.context, c.depth + c.tokens);

  const auto start = Clock::now();
  CARAT_TRY(Checkpoint checkpoint, open_model(options.model));
  CARAT_TRY(const auto engine, Engine::load(run.context, std::move(checkpoint), engine_options));
  const double ready = std::chrono::duration<double>(Clock::now() - start).count();
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  CARAT_TRY(const SpeedReport report, measure_speed(run.context, *kernels, *engine, speed));
  if (run.console.json()) return run.console.print_json(report_json(options, report, *engine, ready));
  return run.console.print(report_text(report, ready));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_option("--prefill", o->prefill, "Tokens of a prompt taken at once; 0 leaves this test out")
      ->capture_default_str()
      ->check(whole_number(0, 1 << 20))
      ->type_name("N");
  app.add_option("--decode", o->decode, "Tokens generated one after the other; 0 leaves this test out")
      ->capture_default_str()
      ->check(whole_number(0, 1 << 20))
      ->type_name("N");
  app.add_option("--depth", o->depths, "Tokens already in the context (default: 0)")
      ->delimiter(',')
      ->check(whole_number(0, 1 << 24))
      ->type_name("N,...");
  app.add_option("--batch", o->batches, "Sequences that decode at the same time (default: 1)")
      ->delimiter(',')
      ->check(whole_number(1, 512))
      ->type_name("N,...");
  app.add_option("--threads", o->threads, "Numbers of threads to compare (default: all this process may use)")
      ->delimiter(',')
      ->check(whole_number(1, 1024))
      ->type_name("N,...");
  app.add_option("--repetitions", o->repetitions, "Measured runs of each test; the median is reported")
      ->capture_default_str()
      ->check(whole_number(1, 1000))
      ->type_name("N");
  add_activations_option(app, o->activations);
  return [o](Invocation& run) { return bench(*o, run); };
}

}  // namespace

const Verb bench_verb = {
    "bench", "Measure speed, and how much of the machine it uses",
    "Tokens per second beside the machine's own limits, which are measured right before and after\n"
    "every run: bytes read from memory per second, and operations on int8 and floats. 100 % of one\n"
    "of them is as fast as this model can be on this machine.\n\n"
    "Examples:\n"
    "  carat bench model.gguf\n"
    "  carat bench model.gguf --threads 1,2 --depth 0,8192\n"
    "  carat bench model.gguf --prefill 0 --batch 1,2,4,8,16",
    prepare};

}  // namespace carat
