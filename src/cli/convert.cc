// carat convert: between containers and float encodings, and rewrites that keep a model's function.
#include "quantize/convert.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "arch/open_model.h"
#include "arch/tensor_scales.h"
#include "cli/format.h"
#include "cli/split_size.h"
#include "cli/verb.h"
#include "transforms/outliers.h"
#include "transforms/rescale.h"
#include "transforms/widen.h"

namespace carat {
namespace {

struct Options {
  std::string in, out, to, container;
  std::optional<std::string> rescale, outliers, widen;
  uint64_t split_bytes = 0;
  bool resume = false, force = false;
};

/// The whole of `text` as a number.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value = 0;
  const auto [end, error_code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error_code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

struct Rescaling {
  uint64_t seed = 0;
  double sigma = 0.15;
};

Result<Rescaling> parse_rescale(std::string_view text) {
  const auto parts = split(text, ':');
  const auto seed = parse_number<uint64_t>(parts[0]);
  const auto sigma = parts.size() == 2 ? parse_number<double>(parts[1]) : std::optional(Rescaling().sigma);
  if (!seed || !sigma || !(*sigma >= 0 && *sigma <= 1) || parts.size() > 2)
    return usage_error("--rescale takes SEED or SEED:SIGMA with sigma from 0 to 1, such as 1:0.15, not '{}'",
                       text);
  return Rescaling{*seed, *sigma};
}

Result<OutlierOptions> parse_outliers(std::string_view text) {
  const auto parts = split(text, ':');
  OutlierOptions o;
  const auto seed = parse_number<uint64_t>(parts[0]);
  const auto channels = parts.size() > 1 ? parse_number<int64_t>(parts[1]) : std::optional(o.channels);
  const auto factor = parts.size() > 2 ? parse_number<double>(parts[2]) : std::optional(o.factor);
  if (!seed || !channels || !factor || parts.size() > 3)
    return usage_error(
        "--outliers takes SEED, SEED:CHANNELS or SEED:CHANNELS:FACTOR, such as 1:6:30, not '{}'", text);
  o.seed = *seed, o.channels = *channels, o.factor = *factor;
  return o;
}

Result<WidenOptions> parse_widen(std::string_view text) {
  const auto parts = split(text, ':');
  int64_t numbers[3] = {0, 0, 0};
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto n = parse_number<int64_t>(parts[i]);
    if (i >= 3 || !n || *n <= 0)
      return usage_error("--widen takes WIDTH, WIDTH:HEADS or WIDTH:HEADS:FF, such as 768:12, not '{}'",
                         text);
    numbers[i] = *n;
  }
  return WidenOptions{numbers[0], numbers[1], numbers[2]};
}

Result<const Encoding*> parse_float_encoding(const std::string& name) {
  if (name.empty()) return nullptr;
  const Encoding* e = find_encoding(name);
  if (e == nullptr || !e->is_float)
    return usage_error(
        "--to takes f32, f16 or bf16, not '{}'; other encodings are the work of `carat quantize`", name);
  return e;
}

Result<Container> chosen_container(const Options& options) {
  if (options.container == "gguf") return Container::gguf;
  if (options.container == "hf") return Container::huggingface;
  if (!options.container.empty())
    return usage_error("--container takes gguf or hf (a Hugging Face directory), not '{}'",
                       options.container);
  return options.out.ends_with(".gguf") ? Container::gguf : Container::huggingface;
}

json::object report_json(const QuantizeReport& report, const Options& options) {
  json::array tensors;
  for (const TensorReport& t : report.tensors)
    tensors.push_back(
        {{"name", t.name}, {"from", t.from->name}, {"to", t.to->name}, {"underflows", t.underflows}});
  return {{"output", options.out},
          {"files", json::array(report.files.begin(), report.files.end())},
          {"input_bytes", report.input_bytes},
          {"output_bytes", report.output_bytes},
          {"bits_per_weight", report.bits_per_weight},
          {"seconds", report.seconds},
          {"peak_rss_bytes", report.peak_rss_bytes},
          {"underflows", report.underflows},
          {"notes", json::array(report.notes.begin(), report.notes.end())},
          {"tensors", std::move(tensors)}};
}

std::string report_text(const QuantizeReport& report, const Options& options) {
  std::string out = fmt::format("{}: {} -> {}, {:.2f} bits per weight, {:.1f} s\n",
                                written_files(options.out, report.files), human_bytes(report.input_bytes),
                                human_bytes(report.output_bytes), report.bits_per_weight, report.seconds);
  if (report.underflows > 0) out += fmt::format("  {} small values became zero\n", report.underflows);
  return out;
}

Status convert_verb_body(const Options& options, Invocation& run) {
  if (options.out.empty()) return usage_error("name the output: carat convert IN OUT");
  ConvertOptions convert_options;
  convert_options.resume = options.resume;
  convert_options.discard_partial = options.force;
  convert_options.split_bytes = options.split_bytes;
  CARAT_TRY(convert_options.container, chosen_container(options));
  CARAT_TRY(convert_options.encoding, parse_float_encoding(options.to));
  if (convert_options.container == Container::huggingface && convert_options.encoding == nullptr)
    return usage_error(
        "a Hugging Face directory has one float type: add --to bf16, f16 or f32 (or name the output {}.gguf)",
        options.out);
  std::optional<Rescaling> rescaling;
  std::optional<OutlierOptions> outliers;
  std::optional<WidenOptions> widening;
  if (options.rescale) {
    CARAT_TRY(rescaling, parse_rescale(*options.rescale));
  }
  if (options.outliers) {
    CARAT_TRY(outliers, parse_outliers(*options.outliers));
  }
  if (options.widen) {
    CARAT_TRY(widening, parse_widen(*options.widen));
  }
  CARAT_TRY(Checkpoint checkpoint, open_model(options.in));
  if (rescaling || outliers || widening) {
    CARAT_TRY(checkpoint, fold_scales(checkpoint));
  }
  if (rescaling) {
    CARAT_TRY(checkpoint, rescale(std::move(checkpoint), rescaling->seed, rescaling->sigma));
  }
  if (outliers) {
    CARAT_TRY(checkpoint, inject_outliers(std::move(checkpoint), *outliers));
  }
  if (widening) {
    CARAT_TRY(checkpoint, widen(std::move(checkpoint), *widening));
  }
  CARAT_TRY(const QuantizeReport report, convert(run.context, checkpoint, options.out, convert_options));
  for (const std::string& n : report.notes) run.console.note(n);
  if (run.console.json()) return run.console.print_json(report_json(report, options));
  return run.console.print(report_text(report, options));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("IN", o->in, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_option("OUT", o->out,
                 "What to write: NAME.gguf is a GGUF file, any other name a Hugging Face directory")
      ->type_name("")
      ->required();
  app.add_option("--to", o->to,
                 "f32, f16 or bf16 for matrices (default in GGUF: as they are; needed for a\n"
                 "Hugging Face directory)")
      ->type_name("ENCODING");
  app.add_option("--container", o->container, "gguf or hf, where OUT's name does not say")->type_name("KIND");
  app.add_option("--rescale", o->rescale,
                 "Random factors exp(SIGMA N(0,1)) between tensors that undo each other: moves\n"
                 "weights off the grid they were once quantized on (default sigma: 0.15)")
      ->type_name("SEED[:SIGMA]");
  app.add_option("--outliers", o->outliers,
                 "A few channels (6) enlarged by a factor (30) in every norm, and undone by those who\n"
                 "read it: makes activations as hard to quantize as those of large models")
      ->type_name("SEED[:CHANNELS[:FACTOR]]");
  app.add_option("--widen", o->widen,
                 "More residual channels, heads and feed-forward channels that change nothing, so\n"
                 "that rows divide into an encoding's blocks")
      ->type_name("WIDTH[:HEADS[:FF]]");
  add_split_size(app, o->split_bytes);
  auto* resume = app.add_flag("--resume", o->resume, "Go on where an interrupted run stopped (GGUF)");
  app.add_flag("--force", o->force, "Begin anew: throw the partial output of an interrupted run away")
      ->excludes(resume);
  return [o](Invocation& run) { return convert_verb_body(*o, run); };
}

}  // namespace

const Verb convert_verb = {
    "convert", "Change container or float encoding, and rewrite without changing the function",
    "Nothing is quantized; quantized tensors are decoded where --to asks for floats. Values that\n"
    "overflow f16 are an error.\n\n"
    "OUT appears when it is complete. A GGUF file replaces one of that name, in one step; a\n"
    "directory that exists and is not empty is never touched: choose another name.\n\n"
    "Examples:\n"
    "  carat convert ~/models/SmolLM2-135M smollm2.gguf --to bf16\n"
    "  carat convert model.gguf model-hf --to f16\n"
    "  carat convert smollm2.gguf smollm2-768 --widen 768:12 --to bf16",
    prepare};

}  // namespace carat
