// carat quantize: the main job.
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "arch/open_model.h"
#include "cli/budget_options.h"
#include "cli/calibration_text.h"
#include "cli/checks.h"
#include "cli/feedback_options.h"
#include "cli/file_checks.h"
#include "cli/format.h"
#include "cli/split_size.h"
#include "cli/verb.h"
#include "containers/mapped_file.h"
#include "quantize/method.h"
#include "quantize/quantize.h"
#include "stats/statistics_file.h"

namespace carat {
namespace {

constexpr uint64_t kRuleFileLimit = 1 << 20;

struct Options {
  std::string in, out, to, rules, method, calibration, hessians;
  std::vector<std::string> tensor_rules;
  CalibrationTextArguments text;
  bool dry_run = false, force = false;
  BudgetArguments budget;
  QuantizeOptions library;
};

/// A name of another format, or of a directory, is a slip: the output is one GGUF file.
Status check_output_name(const std::string& out) {
  for (std::string_view ending : {".safetensors", ".bin", ".json"})
    if (out.ends_with(ending))
      return usage_error("{}: the output is a GGUF file; give it a name that ends in .gguf", out);
  struct stat found = {};
  if (out.ends_with('/') || (stat(out.c_str(), &found) == 0 && S_ISDIR(found.st_mode)))
    return usage_error("{}: is a directory; name the GGUF file to write", out);
  return {};
}

/// Recipe names in lines that fit beside the option.
std::string recipe_list() {
  std::string out;
  size_t width = 0;
  for (std::string_view name : recipe_names()) {
    if (width + name.size() > 76) {
      out += "\n";
      width = 0;
    }
    out += (width > 0 ? " " : "") + std::string(name);
    width += name.size() + 1;
  }
  return out;
}

Result<std::vector<EncodingRule>> tensor_rules(const Options& options) {
  std::vector<EncodingRule> rules;
  for (const std::string& text : options.tensor_rules) {
    CARAT_TRY(EncodingRule rule, parse_tensor_rule(text));
    rules.push_back(std::move(rule));
  }
  return rules;
}

/// What goes with a budget, said before a model is opened.
Status check_budget(const Options& options) {
  CARAT_DO(parse_goal(options.budget));
  if (!options.to.empty() || !options.rules.empty())
    return usage_error(
        "a budget (--size, --bpw, --max-kl) finds the recipe itself: leave out {}; single tensors may be "
        "fixed with "
        "--tensor",
        options.to.empty() ? "--rules" : "--to");
  if (!options.hessians.empty())
    return usage_error("a budget measures what tensors cost with text: give --text in place of --hessians");
  if (options.text.texts.empty())
    return usage_error(
        "a budget needs calibration text to measure what each tensor costs; give one with --text FILE");
  if (options.library.split_bytes > 0)
    return usage_error(
        "--split-size does not go with a budget, whose files are tried as wholes; split the one it finds: "
        "carat "
        "convert OUT SPLIT.gguf --split-size SIZE");
  return {};
}

/// Statistics beside text are for methods that need both.
Status check_two_sources(const Options& options, const Method& method) {
  if (options.calibration.empty() || options.text.texts.empty() || options.budget.given()) return {};
  for (const Transform* transform : method.transforms)
    if (!transform->needs_statistics())
      return usage_error("the statistics of --calibration are of the model before '{}'; leave them out",
                         transform->name());
  if (method.rounder->needs_feedback()) return {};
  return usage_error(
      "--method {} takes what it needs from --calibration, and has no use for text besides; leave out "
      "--text, or --calibration",
      options.method.empty() ? method.rounder->name() : std::string_view(options.method));
}

/// --to names the mix, --rules a file of rules (whose base --to overrides), --tensor rules go before all
/// others.
Result<Recipe> chosen_recipe(const Options& options) {
  if (options.to.empty() && options.rules.empty())
    return usage_error(
        "say what to quantize to: --to RECIPE ({}), --rules FILE or a budget such as --size 4.2GiB",
        fmt::join(recipe_names(), ", "));
  Recipe recipe;
  if (!options.to.empty()) {
    CARAT_TRY(recipe, open_recipe(options.to));
  }
  if (!options.rules.empty()) {
    CARAT_TRY(const std::string text, read_small_file(options.rules, kRuleFileLimit));
    CARAT_TRY(Recipe from_file, parse_rule_file(text, options.rules));
    if (options.to.empty())
      recipe = std::move(from_file);
    else
      recipe.rules.insert(recipe.rules.begin(), from_file.rules.begin(), from_file.rules.end());
  }
  CARAT_TRY(const std::vector<EncodingRule> rules, tensor_rules(options));
  recipe.rules.insert(recipe.rules.begin(), rules.begin(), rules.end());
  return recipe;
}

json::array strings_json(const std::vector<std::string>& strings) {
  return json::array(strings.begin(), strings.end());
}

template <class T>
json::object tensor_json(const T& t) {
  return {{"name", t.name},       {"shape", json::array(t.shape.begin(), t.shape.end())},
          {"from", t.from->name}, {"to", t.to->name},
          {"method", t.method},   {"reason", t.reason}};
}

json::object plan_json(const QuantizePlan& plan) {
  json::array tensors;
  for (const TensorPlan& t : plan.tensors) {
    tensors.push_back(tensor_json(t));
    tensors.back().as_object()["bytes"] = t.bytes;
  }
  return {{"dry_run", true},
          {"input_bytes", plan.input_bytes},
          {"output_bytes", plan.output_bytes},
          {"bits_per_weight", plan.bits_per_weight},
          {"fallbacks", strings_json(plan.fallbacks)},
          {"notes", strings_json(plan.notes)},
          {"tensors", std::move(tensors)}};
}

json::object report_json(const QuantizeReport& report, const std::string& out) {
  json::array tensors;
  for (const TensorReport& t : report.tensors) {
    tensors.push_back(tensor_json(t));
    json::object& tensor = tensors.back().as_object();
    tensor["relative_error"] = t.relative_error;
    if (t.guide.tokens > 0) {
      tensor["calibration_tokens"] = t.guide.tokens;
      if (t.name.find("_exps.") != std::string::npos) {
        tensor["calibration_tokens_least"] = t.guide.least_tokens;
        tensor["experts_unseen"] = t.guide.unseen;
      }
      tensor["shrink"] = t.guide.shrink;
      tensor["damping"] = t.guide.damping;
      tensor["relative_loss"] = t.guide.relative_loss;
      if (t.guide.searched_loss > 0) tensor["relative_loss_of_search"] = t.guide.searched_loss;
    }
  }
  json::array transforms;
  for (const TransformNote& n : report.transforms) {
    json::object note = {{"transform", n.transform}, {"group", n.group}, {"choice", n.choice}};
    if (n.loss_before > 0) {
      note["loss_before"] = n.loss_before;
      note["loss_after"] = n.loss_after;
    }
    transforms.push_back(std::move(note));
  }
  return {{"output", out},
          {"files", json::array(report.files.begin(), report.files.end())},
          {"input_bytes", report.input_bytes},
          {"output_bytes", report.output_bytes},
          {"bits_per_weight", report.bits_per_weight},
          {"seconds", report.seconds},
          {"peak_rss_bytes", report.peak_rss_bytes},
          {"source_digest", report.source_digest},
          {"underflows", report.underflows},
          {"resumed_tensors", report.resumed_tensors},
          {"fallbacks", strings_json(report.fallbacks)},
          {"notes", strings_json(report.notes)},
          {"transforms", std::move(transforms)},
          {"tensors", std::move(tensors)}};
}

std::string plan_text(const QuantizePlan& plan) {
  std::string out =
      fmt::format("{:<36} {:>18} {:<7} {:<7} {:>14}  {}\n", "tensor", "shape", "from", "to", "bytes", "why");
  for (const TensorPlan& t : plan.tensors)
    out += fmt::format("{:<36} {:>18} {:<7} {:<7} {:>14}  {}\n", printable(t.name),
                       fmt::format("{}", fmt::join(t.shape, " x ")), t.from->name, t.to->name, t.bytes,
                       printable(t.reason));
  out += fmt::format("\n{} bytes in, {} bytes out ({:.1f} %), {:.4f} bits per weight; nothing was written\n",
                     plan.input_bytes, plan.output_bytes,
                     100.0 * static_cast<double>(plan.output_bytes) /
                         static_cast<double>(std::max<uint64_t>(1, plan.input_bytes)),
                     plan.bits_per_weight);
  return out;
}

std::string transforms_text(const std::vector<TransformNote>& notes) {
  struct Sum {
    int groups = 0;
    double before = 0, after = 0;
  };
  std::map<std::string_view, Sum> sums;
  for (const TransformNote& n : notes) {
    Sum& s = sums[n.transform];
    ++s.groups;
    // Each group's share counts alike: their outputs are of different sizes.
    if (n.loss_before > 0) s.before += 1, s.after += n.loss_after / n.loss_before;
  }
  std::string out;
  for (const auto& [name, s] : sums) {
    out += fmt::format("  {}: {} groups of channels", name, s.groups);
    if (s.before > 0) out += fmt::format(", expected error {:.3f} of what it was", s.after / s.before);
    out += "\n";
  }
  return out;
}

/// What error feedback gained, over all matrices alike.
std::string feedback_text(const std::vector<TensorReport>& tensors) {
  int matrices = 0;
  double logs = 0;
  for (const TensorReport& t : tensors) {
    if (!(t.guide.searched_loss > 0) || !(t.guide.relative_loss > 0)) continue;
    ++matrices;
    logs += std::log(t.guide.relative_loss / t.guide.searched_loss);
  }
  if (matrices == 0) return {};
  return fmt::format(
      "  error feedback: outputs lose {:.3f} of what they would with the search (mean of {} matrices)\n",
      std::exp(logs / matrices), matrices);
}

std::string report_text(const QuantizeReport& report, const std::string& out_path) {
  struct Group {
    int tensors = 0;
    double worst = 0;
    std::string_view worst_name;
  };
  std::map<std::string_view, Group> groups;
  for (const TensorReport& t : report.tensors) {
    Group& g = groups[t.to->name];
    ++g.tensors;
    if (t.relative_error > g.worst) {
      g.worst = t.relative_error;
      g.worst_name = t.name;
    }
  }
  std::string out = fmt::format("{}: {} -> {}, {:.4f} bits per weight, {:.1f} s, peak memory {}\n",
                                written_files(out_path, report.files), human_bytes(report.input_bytes),
                                human_bytes(report.output_bytes), report.bits_per_weight, report.seconds,
                                human_bytes(report.peak_rss_bytes));
  for (const auto& [name, g] : groups) {
    out += fmt::format("  {:<7} {:>4} tensor{}", name, g.tensors, g.tensors == 1 ? " " : "s");
    if (g.worst > 0)
      out += fmt::format("  largest squared error {:.3g} of the squared weights ({})", g.worst,
                         printable(g.worst_name));
    out += "\n";
  }
  out += transforms_text(report.transforms);
  out += feedback_text(report.tensors);
  if (report.underflows > 0) out += fmt::format("  {} small values became zero\n", report.underflows);
  if (report.resumed_tensors > 0)
    out += fmt::format("  {} tensors were taken over from the interrupted run\n", report.resumed_tensors);
  return out;
}

/// Fallbacks and notes are for everyone's eyes, whatever the form of the result.
template <class T>
void say_notes(const T& result, Console& console) {
  for (const std::string& f : result.fallbacks) console.say("fallback: " + f);
  for (const std::string& n : result.notes) console.note(n);
}

/// --size, --bpw or --max-kl in place of a recipe. options.library has all but the text and the rules.
Status quantize_to_a_budget(Options& options, Invocation& run, const Checkpoint& checkpoint) {
  CARAT_TRY(const CalibrationText text, read_calibration_text(options.text, checkpoint));
  if (options.dry_run) {
    CARAT_TRY(const BudgetPlan found,
              run_budget_plan(run.context, checkpoint, text, options.library, options.budget, options.out));
    say_notes(found.plan, run.console);
    if (run.console.json()) {
      json::object document = plan_json(found.plan);
      document["budget"] = budget_json(found);
      return run.console.print_json(document);
    }
    return run.console.print(plan_text(found.plan) +
                             fmt::format("predicted KL {:.5f}\n", found.predicted_kl));
  }
  CARAT_TRY(const BudgetResult result,
            run_budget(run.context, checkpoint, text, options.library, options.budget, options.out));
  say_notes(result.report, run.console);
  if (run.console.json()) {
    json::object document = report_json(result.report, options.out);
    document["budget"] = budget_json(result);
    return run.console.print_json(document);
  }
  return run.console.print(report_text(result.report, options.out) + budget_text(result));
}

Status quantize_verb_body(Options options, Invocation& run) {
  if (options.out.empty() && !options.dry_run)
    return usage_error(
        "name the output file, or ask for a --dry-run: carat quantize IN OUT.gguf --to RECIPE");
  CARAT_DO(check_output_name(options.out));
  std::vector<std::string> inputs = options.text.texts;
  inputs.insert(inputs.end(), {options.calibration, options.hessians, options.rules});
  CARAT_DO(check_files({options.out}, inputs));
  CARAT_TRY(const Method method, parse_method(options.method));
  CARAT_DO(check_two_sources(options, method));
  if (options.budget.given()) {
    CARAT_DO(check_budget(options));
    CARAT_TRY(options.library.recipe.rules, tensor_rules(options));
  } else {
    if (!options.budget.sensitivities.empty() || !options.budget.recipe.empty())
      return usage_error("--sensitivities and --write-recipe belong to a budget: --size, --bpw or --max-kl");
    CARAT_TRY(options.library.recipe, chosen_recipe(options));
  }
  options.library.method = options.method;
  options.library.activations = options.text.activations;
  options.library.discard_partial = options.force;
  CARAT_TRY(const Checkpoint checkpoint, open_model(options.in));
  CalibrationText text;
  if (!options.text.texts.empty() && !options.budget.given()) {
    CARAT_TRY(text, read_calibration_text(options.text, checkpoint));
    options.library.text = &text;
  }
  if (!options.calibration.empty()) {
    CARAT_TRY(CalibrationStatistics statistics, read_statistics(options.calibration));
    CARAT_DO(fit_statistics(checkpoint, options.calibration, statistics));
    options.library.calibration = std::make_shared<const CalibrationStatistics>(std::move(statistics));
    options.library.calibration_file = options.calibration;
  }
  std::optional<HessianFile> hessians;
  if (!options.hessians.empty()) {
    CARAT_TRY(hessians, HessianFile::open(options.hessians, checkpoint));
    options.library.hessians = &*hessians;
  }
  if (options.budget.given()) return quantize_to_a_budget(options, run, checkpoint);
  if (options.dry_run) {
    CARAT_TRY(const QuantizePlan plan, plan_quantize(checkpoint, options.library));
    say_notes(plan, run.console);
    if (run.console.json()) return run.console.print_json(plan_json(plan));
    return run.console.print(plan_text(plan));
  }
  CARAT_TRY(const QuantizeReport report, quantize(run.context, checkpoint, options.out, options.library));
  say_notes(report, run.console);
  if (run.console.json()) {
    json::object document = report_json(report, options.out);
    if (const auto& statistics = options.library.calibration)
      document["calibration"] = {{"file", options.calibration},
                                 {"chunks", statistics->chunks},
                                 {"chunk_tokens", statistics->chunk_tokens},
                                 {"texts", json::value_from(statistics->datasets)}};
    return run.console.print_json(document);
  }
  return run.console.print(report_text(report, options.out));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("IN", o->in, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_option("OUT", o->out, "GGUF file to write (not needed for --dry-run)")->type_name("");
  app.add_option("--to", o->to,
                 "Recipe, from the largest file to the smallest:\n" + recipe_list() +
                     "\nor one encoding for all matrices, such as INT4_G128, INT3_ASYM_G64,\n"
                     "INT8_CHANNEL, FP8_CHANNEL or NF4 (in files that only carat reads)")
      ->type_name("RECIPE");
  app.add_option("--rules", o->rules,
                 "Rule file: base = \"Q4_K_M\" and [[rule]] tables of tensor and encoding;\n"
                 "--to, where given too, replaces its base")
      ->type_name("FILE");
  app.add_option("--tensor", o->tensor_rules,
                 "Encoding of the tensors whose name matches, before all other rules; may be\n"
                 "repeated, the first match wins")
      ->type_name("REGEX=ENCODING")
      ->allow_extra_args(false);
  std::vector<std::string_view> rounders, transforms;
  for (const Rounder* r : all_rounders()) rounders.push_back(r->name());
  for (const Transform* t : all_transforms()) transforms.push_back(t->name());
  app.add_option("--method", o->method,
                 fmt::format("How codes are chosen: {} (default: {}); before it,\n"
                             "joined by '+', what makes the model easier to round: {}",
                             fmt::join(rounders, ", "), rounders.front(), fmt::join(transforms, ", ")))
      ->type_name("METHOD");
  add_calibration_text(app, o->text, "Calibration text, UTF-8, for methods that use data");
  for (const char* of_text : {"--chat", "--ctx", "--chunks", "--activations"})
    app.get_option(of_text)->needs(app.get_option("--text"));
  add_feedback_options(app, o->library.feedback);
  app.add_option("--smooth", o->library.transforms.smooth,
                 "smoothquant: how much of the activations' magnitude moves to the weights, 0 to 1")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("ALPHA");
  app.add_option("--calibration", o->calibration,
                 "Statistics (carat calibrate, or llama.cpp's importance matrix): errors weigh as\n"
                 "much as the columns they meet")
      ->type_name("STATS");
  app.add_option("--hessians", o->hessians,
                 "Hessians (carat calibrate --hessians) for gptq, in place of --text: no text goes\n"
                 "through the model again")
      ->type_name("FILE");
  add_budget_options(app, o->budget);
  app.add_flag("--allow-fallback", o->library.allow_fallback,
               "Where rows are no multiple of an encoding's block, take an encoding of smaller\n"
               "blocks (recorded in the file)");
  app.add_flag("--allow-requantize", o->library.allow_requantize,
               "Also quantize tensors that are quantized already (their errors add up)");
  app.add_flag(
      "--dry-run", o->dry_run,
      "Show every tensor's encoding and the exact size; write nothing\n(but what a budget has measured)");
  add_split_size(app, o->library.split_bytes);
  auto* resume = app.add_flag("--resume", o->library.resume, "Go on where an interrupted run stopped");
  app.add_flag("--force", o->force, "Begin anew: throw the partial file of an interrupted run away")
      ->excludes(resume);
  return [o](Invocation& run) { return quantize_verb_body(*o, run); };
}

}  // namespace

const Verb quantize_verb = {
    "quantize", "Write a smaller GGUF file of a model",
    "One of --to, --rules, --size, --bpw and --max-kl is required.\n\n"
    "OUT appears when it is complete, and replaces a file of that name only then, in one step.\n"
    "An interrupted run leaves OUT.partial for --resume, or with a budget what it measured\n"
    "(OUT.sensitivities) and the file that it was trying (OUT.candidateN.partial).\n"
    "The same input and options give the same bytes, for any number of threads.\n\n"
    "Examples:\n"
    "  carat quantize ~/models/SmolLM2-135M smollm2.Q4_K_M.gguf --to Q4_K_M\n"
    "  carat quantize model/ small.gguf --to Q3_K_M --method gptq --text calibration.txt\n"
    "  carat quantize model.gguf small.gguf --to Q3_K_M --tensor 'ffn_down=Q4_K' --tensor '^output=Q6_K'\n"
    "  carat quantize model.gguf small.gguf --size 4.2GiB --method gptq --text calibration.txt\n"
    "  carat quantize model.gguf --to Q2_K --dry-run",
    prepare};

}  // namespace carat
