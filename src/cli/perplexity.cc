// carat perplexity: how well a model predicts a text, and how far it is from a reference.
#include <memory>

#include "arch/open_model.h"
#include "cli/checks.h"
#include "cli/format.h"
#include "cli/machine_notes.h"
#include "cli/model_options.h"
#include "cli/overlap_note.h"
#include "cli/verb.h"
#include "containers/mapped_file.h"
#include "engine/engine.h"
#include "score/perplexity.h"

namespace carat {
namespace {

constexpr uint64_t kTextLimit = 1'000'000'000;

struct Options {
  std::string model, text, reference;
  PerplexityOptions score;
  ActivationScheme activations = ActivationScheme::int8_block;
  KvEncoding kv = KvEncoding::f16;
};

json::object distribution_json(const Distribution& d) {
  return {{"mean", d.mean.mean}, {"standard_error", d.mean.standard_error},
          {"median", d.median},  {"p90", d.p90},
          {"p95", d.p95},        {"p99", d.p99},
          {"p999", d.p999},      {"max", d.max}};
}

json::object score_json(const TextScore& s) {
  return {{"perplexity", s.perplexity},
          {"perplexity_standard_error", s.perplexity_standard_error},
          {"nll", s.nll.mean},
          {"nll_standard_error", s.nll.standard_error}};
}

json::object result_json(const PerplexityResult& r, const Options& options, const Engine& engine) {
  json::object out{{"model", options.model}, {"text", options.text}};
  for (auto& [key, value] : score_json(r.score)) out[key] = value;
  out["tokens"] = r.tokens;
  out["chunks"] = r.chunks;
  out["context"] = r.context;
  out["activation_scheme"] = engine.activation_scheme();
  if (r.comparison) {
    const ReferenceComparison& c = *r.comparison;
    out["reference"] = score_json(c.reference);
    out["reference"].as_object()["model"] = options.reference;
    out["kl"] = distribution_json(c.kl);
    out["kl"].as_object()["per_chunk"] = json::value_from(c.kl_per_chunk);
    out["kl_floor"] = c.floor ? json::value(distribution_json(*c.floor)) : json::value(nullptr);
    out["same_top_p"] = c.same_top_p.mean;
    out["same_top_p_standard_error"] = c.same_top_p.standard_error;
    out["delta_p"] = c.delta_p.mean;
    out["delta_p_rms"] = c.delta_p_rms;
    out["log_ratio"] = c.log_ratio.mean;
    out["log_ratio_standard_error"] = c.log_ratio.standard_error;
    out["nll_correlation"] = c.nll_correlation;
  }
  return out;
}

std::string distribution_text(std::string_view label, const Distribution& d) {
  return fmt::format("{:<24} {:.6f} +- {:.6f}  median {:.6f}  p99 {:.5f}  p99.9 {:.5f}  max {:.4f}\n", label,
                     d.mean.mean, d.mean.standard_error, d.median, d.p99, d.p999, d.max);
}

std::string result_text(const PerplexityResult& r) {
  std::string out = fmt::format("{:<24} {:.4f} +- {:.4f}\n", "perplexity", r.score.perplexity,
                                r.score.perplexity_standard_error);
  if (r.comparison) {
    const ReferenceComparison& c = *r.comparison;
    out += fmt::format("{:<24} {:.4f} +- {:.4f}\n", "  of the reference", c.reference.perplexity,
                       c.reference.perplexity_standard_error);
    out += fmt::format("{:<24} {:+.3f} % +- {:.3f} %\n", "  change", 100 * std::expm1(c.log_ratio.mean),
                       100 * std::exp(c.log_ratio.mean) * c.log_ratio.standard_error);
    out += distribution_text("KL divergence (nats)", c.kl);
    if (c.floor) out += distribution_text("  its floor", *c.floor);
    out += fmt::format("{:<24} {:.3f} % +- {:.3f} %\n", "same most likely token", 100 * c.same_top_p.mean,
                       100 * c.same_top_p.standard_error);
    out += fmt::format("{:<24} {:.3f} % (root mean square)\n", "change of p(next)", 100 * c.delta_p_rms);
  }
  out += fmt::format("{:<24} {} in {} {} of {} tokens\n", "tokens scored", r.tokens, r.chunks,
                     r.chunks == 1 ? "chunk" : "chunks", r.context);
  return out;
}

Result<std::shared_ptr<Engine>> load(Invocation& run, const std::string& path, int64_t positions,
                                     ActivationScheme activations, KvEncoding kv) {
  CARAT_TRY(Checkpoint checkpoint, open_model(path));
  note_memory(checkpoint, run.console);
  EngineOptions options;
  options.context = positions;
  options.activations = activations;
  options.kv = kv;
  return Engine::load(run.context, std::move(checkpoint), options);
}

Status perplexity(const Options& options, Invocation& run) {
  if (options.score.floor && options.reference.empty())
    return usage_error("--floor is the floor of a divergence; it needs --reference MODEL");
  CARAT_TRY(const std::string text, read_small_file(options.text, kTextLimit));
  note_invalid_utf8(options.text, text, run.console);
  CARAT_TRY(const auto model,
            load(run, options.model, options.score.context, options.activations, options.kv));
  const PerplexityOptions& score = options.score;
  CARAT_DO(note_overlap(*model, run.console, [&](const LookAtText& look) {
    return look(text, score.chunks < 0 ? SIZE_MAX : static_cast<size_t>(score.chunks * score.context));
  }));
  std::shared_ptr<Engine> reference;
  if (!options.reference.empty()) {
    CARAT_TRY(reference,
              load(run, options.reference, options.score.context, options.activations, KvEncoding::f16));
  }
  CARAT_TRY(const PerplexityResult result,
            measure_perplexity(run.context, *model, reference.get(), text, options.score));
  if (run.console.json()) return run.console.print_json(result_json(result, options, *model));
  return run.console.print(result_text(result));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_option("--text", o->text, "Text to predict, UTF-8 (required)")->required()->type_name("FILE");
  app.add_option("--ctx", o->score.context,
                 "Tokens of a chunk of the text; the second half of each is scored")
      ->capture_default_str()
      ->check(whole_number(4, 1 << 24))
      ->type_name("N");
  app.add_option("--chunks", o->score.chunks, "At most so many chunks (default: all of the text)")
      ->check(whole_number(1, 1 << 30))
      ->type_name("N");
  app.add_option("--reference", o->reference,
                 "Also compare with this model (the original, say) over the same tokens")
      ->type_name("MODEL");
  add_activations_option(app, o->activations);
  add_kv_option(app, o->kv);  // of MODEL; the reference keeps F16
  app.add_flag("--floor", o->score.floor,
               "Also what perfect weights would show: the reference through the candidate's\n"
               "rounding of activations");
  return [o](Invocation& run) { return perplexity(*o, run); };
}

}  // namespace

const Verb perplexity_verb = {
    "perplexity", "Measure how well a model predicts a text, and how far it is from a reference",
    "Figures compare with llama.cpp's: the text is cut into chunks, each begins with the model's\n"
    "begin token, the second half of each is scored. KL divergence from the reference is in nats\n"
    "per token; 0 means the same predictions.\n\n"
    "Examples:\n"
    "  carat perplexity model.gguf --text book.txt\n"
    "  carat perplexity small.gguf --text book.txt --reference original/ --floor\n"
    "  carat perplexity small.gguf --text book.txt --chunks 20 --json",
    prepare};

}  // namespace carat
