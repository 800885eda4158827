// carat bench: speed, and how much of the machine it uses.
#include <memory>
#include <span>

#include "arch/open_model.h"
#include "cli/bench_report.h"
#include "cli/checks.h"
#include "cli/format.h"
#include "cli/machine_notes.h"
#include "cli/model_options.h"
#include "cli/verb.h"
#include "engine/engine.h"
#include "measure/synthetic.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

constexpr int kSustainedSlices = 10;

struct Options {
  std::string model, reference;
  int64_t prefill = 512, decode = 128;
  std::vector<int64_t> depths = {0}, batches = {1}, threads;
  std::vector<std::string> quantize;
  std::string method;
  int repetitions = 5;
  double sustain = 0;
  bool twin = false, profile = false;
  ActivationScheme activations = ActivationScheme::int8_block;
  KvEncoding kv = KvEncoding::f16;
};

std::vector<SpeedCase> speed_cases(const Options& o) {
  using Kind = SpeedCase::Kind;
  std::vector<SpeedCase> out;
  for (const int64_t depth : o.depths) {
    if (o.prefill > 0) out.push_back({Kind::prefill, o.prefill, depth, 1});
    if (o.decode > 0)
      for (const int64_t batch : o.batches) out.push_back({Kind::decode, o.decode, depth, batch});
  }
  return out;
}

/// Copies of the matrices are kept in memory, two bytes a weight.
Status check_twin_fits(const Checkpoint& model) {
  uint64_t bytes = 0;
  for (const Tensor& t : model.tensors) bytes += static_cast<uint64_t>(t.elements()) * sizeof(uint16_t);
  const uint64_t available = available_memory();
  if (available == 0 || bytes < available / 10 * 9) return {};
  return usage_error(
      "a 16-bit twin of {} takes {} of memory and {} are available; compare with a file by "
      "--reference instead, or leave --twin out",
      model.source, human_bytes(bytes), human_bytes(available));
}

/// The sessions of all tests exist side by side.
Status check_contexts_fit(std::span<const std::shared_ptr<Engine>> engines,
                          const std::vector<SpeedCase>& cases) {
  uint64_t bytes = 0;
  for (const auto& engine : engines)
    for (const SpeedCase& c : cases)
      bytes += static_cast<uint64_t>(c.batch * engine->kv_bytes(c.depth + c.tokens));
  const uint64_t available = available_memory();
  if (available == 0 || bytes < available / 10 * 9) return {};
  return usage_error(
      "keys and values of all tests take {} of memory and {} are available; give a smaller --depth or "
      "--batch, or fewer of them at a time",
      human_bytes(bytes), human_bytes(available));
}

class Bench {
 public:
  Bench(Options options, Invocation& run) : o_(std::move(options)), run_(run) {}

  Status run() {
    CARAT_DO(read_recipes());
    CARAT_TRY(Checkpoint checkpoint, open_model(o_.model));
    note_memory(checkpoint, run_.console);
    const std::vector<SpeedCase> cases = speed_cases(o_);
    engine_options_.activations = o_.activations;
    engine_options_.kv = o_.kv;
    engine_options_.context = std::max<int64_t>(o_.prefill, 1);
    if (o_.sustain > 0)
      engine_options_.context = std::max<int64_t>(engine_options_.context, sustained_tokens());
    for (const SpeedCase& c : cases)
      engine_options_.context = std::max(engine_options_.context, c.depth + c.tokens);
    report_.model = o_.model;
    report_.isa = isa_name(*chosen_isa());
    report_.activation_scheme = activation_scheme_name(o_.activations);
    report_.kv = kv_encoding_name(o_.kv);
    report_.file_bytes = checkpoint.file_bytes;
    CARAT_TRY(const KernelTable* kernels, default_kernel_table());
    const LimitMeter meter(*kernels);
    ThreadPool pool(threads().back());
    const Context context{pool, run_.context.cancellation, run_.context.progress};

    if (!recipes_.empty()) {
      run_.context.progress.begin("quantizing", "recipes", recipes_.size());
      for (const Recipe& recipe : recipes_) {
        CARAT_TRY(RoundingRate rate,
                  measure_rounding(context, meter, checkpoint, recipe, o_.method, o_.repetitions));
        report_.rounding.push_back(std::move(rate));
        run_.context.progress.update(report_.rounding.size(), recipe.name);
      }
      run_.context.progress.end();
    }
    if (!cases.empty()) CARAT_DO(run_model(context, meter, std::move(checkpoint), cases));
    if (run_.console.json()) return run_.console.print_json(bench_json(report_));
    return run_.console.print(bench_text(report_));
  }

 private:
  std::vector<int> threads() const {
    std::vector<int> out(o_.threads.begin(), o_.threads.end());
    if (out.empty()) out.push_back(run_.context.pool.threads());
    return out;
  }

  int64_t sustained_tokens() const { return std::max<int64_t>(o_.decode, 128); }

  /// Names are checked before anything takes time.
  Status read_recipes() {
    for (const std::string& name : o_.quantize) {
      CARAT_TRY(Recipe recipe, open_recipe(name));
      recipes_.push_back(std::move(recipe));
    }
    if (!o_.method.empty() && find_rounder(o_.method) == nullptr) {
      std::vector<std::string_view> names;
      for (const Rounder* rounder : all_rounders()) names.push_back(rounder->name());
      return usage_error("unknown method '{}'; there are {}", o_.method, fmt::join(names, ", "));
    }
    if (!o_.method.empty() && o_.quantize.empty()) return usage_error("--method goes with --quantize RECIPE");
    if (o_.twin && !o_.reference.empty())
      return usage_error("--twin and --reference both name the model to compare with; give one");
    return {};
  }

  Status run_model(const Context& context, const LimitMeter& meter, Checkpoint checkpoint,
                   const std::vector<SpeedCase>& cases) {
    const int64_t prompt = o_.prefill > 0 ? o_.prefill : 1;
    std::vector<std::shared_ptr<Engine>> engines;
    if (o_.twin) {
      CARAT_DO(check_twin_fits(checkpoint));
      CARAT_TRY(auto twin,
                Engine::load(context, synthetic_twin(checkpoint, encoding_f16(), 1), engine_options_));
      engines.push_back(std::move(twin));
      report_.reference = "a made-up F16 model of the same shape";
    } else if (!o_.reference.empty()) {
      CARAT_TRY(Checkpoint other, open_model(o_.reference));
      note_memory(other, run_.console);
      CARAT_TRY(auto reference, Engine::load(context, std::move(other), engine_options_));
      engines.push_back(std::move(reference));
      report_.reference = o_.reference;
    }
    CARAT_TRY(auto engine, Engine::load(context, std::move(checkpoint), engine_options_));
    engines.insert(engines.begin(), engine);
    CARAT_DO(check_contexts_fit(engines, cases));
    // A prompt costs minutes on a slow machine: starting is measured three times at most.
    CARAT_TRY(report_.start,
              measure_start(context, o_.model, engine_options_, prompt, std::min(o_.repetitions, 3)));
    CARAT_TRY(report_.speed, measure_speed(context, meter, engines, {cases, threads(), o_.repetitions}));
    if (o_.sustain > 0) {
      report_.sustained_seconds = o_.sustain;
      CARAT_TRY(report_.sustained,
                measure_sustained(context, *engine, o_.sustain, kSustainedSlices, sustained_tokens()));
    }
    if (!o_.profile) return {};
    for (const SpeedCase& c : cases) {
      CARAT_TRY(ProfileReport profile, measure_profile(context, meter, *engine, c));
      report_.profiles.push_back(std::move(profile));
    }
    return {};
  }

  Options o_;
  Invocation& run_;
  EngineOptions engine_options_;
  std::vector<Recipe> recipes_;
  BenchReport report_;
};

Status bench(const Options& options, Invocation& run) {
  if (options.prefill == 0 && options.decode == 0) {
    const char* unserved = options.sustain > 0          ? "--sustain"
                           : options.profile            ? "--profile"
                           : options.twin               ? "--twin"
                           : !options.reference.empty() ? "--reference"
                                                        : nullptr;
    if (unserved)
      return usage_error("{} goes with a test of the model, and --prefill and --decode are both 0", unserved);
    if (options.quantize.empty())
      return usage_error("nothing is left to measure: --prefill and --decode are both 0");
  }
  if (!options.threads.empty())
    note_thread_count(static_cast<int>(std::ranges::max(options.threads)), run.console);
  return Bench(options, run).run();
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  const auto list = [&app](const char* name, std::vector<int64_t>& values, int64_t low, int64_t high,
                           const std::string& text) {
    return app
        .add_option_function<std::string>(
            name, [&values](const std::string& given) { values = parse_whole_numbers(given); }, text)
        ->check(whole_numbers(low, high))
        ->type_name("N,...");
  };
  app.add_option("MODEL", o->model, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_option("--prefill", o->prefill, "Tokens of a prompt taken at once; 0 leaves this test out")
      ->capture_default_str()
      ->check(whole_number(0, 1 << 20))
      ->type_name("N");
  app.add_option("--decode", o->decode, "Tokens generated one after the other; 0 leaves this test out")
      ->capture_default_str()
      ->check(whole_number(0, 1 << 20))
      ->type_name("N");
  list("--depth", o->depths, 0, 1 << 24, "Tokens in the context before a test begins (default: 0)");
  list("--batch", o->batches, 1, 512, "Sequences that decode at the same time (default: 1)");
  list("--threads", o->threads, 1, 1024, "Numbers of threads to compare (default: all this process may use)")
      ->group("Common options");
  app.add_option("--repetitions", o->repetitions, "Measured runs of each test; medians are reported")
      ->capture_default_str()
      ->check(whole_number(1, 1000))
      ->type_name("N");
  app.add_option("--reference", o->reference, "Also measure this model, the 16-bit original say, in turns")
      ->type_name("MODEL");
  app.add_flag("--twin", o->twin,
               "The same with a made-up F16 model of the same shape, in memory: shows where\n"
               "this encoding brings no gain");
  app.add_option_function<std::string>(
         "--quantize", [o](const std::string& given) { o->quantize = split_at_commas(given); },
         "Also how fast weights of these shapes are quantized")
      ->type_name("RECIPE,...");
  app.add_option("--method", o->method, "How --quantize chooses codes (default: search)")
      ->type_name("METHOD");
  app.add_option("--sustain", o->sustain, "Also decode for so many seconds on end: the rate over time")
      ->check(whole_number(1, 1 << 20))
      ->type_name("SECONDS");
  app.add_flag("--profile", o->profile, "Also the time of each operation, beside what the machine allows");
  add_activations_option(app, o->activations);
  add_kv_option(app, o->kv);
  return [o](Invocation& run) { return bench(*o, run); };
}

}  // namespace

const Verb bench_verb = {
    "bench", "Measure speed, and how much of the machine it uses",
    "Tokens per second beside the machine's own limits, which are measured right before and after\n"
    "every run: bytes read from memory per second, and operations on int8 and floats (a multiply-\n"
    "add is two). Bytes and operations are counted from the tensors that a token needs, keys and\n"
    "values included; 100 % of either is as fast as this model can be on this machine. +- is half\n"
    "the distance from the slowest run to the fastest.\n\n"
    "Examples:\n"
    "  carat bench model.gguf\n"
    "  carat bench model.gguf --threads 1,2 --depth 0,8192\n"
    "  carat bench model.gguf --prefill 0 --batch 1,2,4,8,16 --twin\n"
    "  carat bench model.gguf --profile\n"
    "  carat bench model.gguf --prefill 0 --decode 0 --quantize Q4_K_M,Q8_0",
    prepare};

}  // namespace carat
