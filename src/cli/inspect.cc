// carat inspect: what is in a model file, without running it.
#include <map>
#include <utility>

#include "arch/model_config.h"
#include "arch/open_model.h"
#include "cli/format.h"
#include "cli/outliers.h"
#include "cli/scan.h"
#include "cli/verb.h"
#include "stats/statistics_file.h"
#include "text/tokenizer.h"

namespace carat {
namespace {

struct Options {
  std::string model;
  bool ranges = false, metadata = false, outliers = false;
};

json::value scalar_json(const Value& v) {
  return std::visit(
      [](const auto& x) -> json::value {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, Array>)
          return nullptr;
        else if constexpr (std::is_same_v<T, double>)
          return std::isfinite(x) ? json::value(x) : json::value(nullptr);
        else
          return json::value(x);
      },
      v.data);
}

/// Scalars as they are; of arrays the type and length, because a vocabulary is no reading matter.
json::value metadata_json(const Value& v) {
  if (const auto* a = std::get_if<Array>(&v.data))
    return json::object{{"array_of", value_type_name(a->element)}, {"length", a->size()}};
  return scalar_json(v);
}

std::string metadata_text(const Value& v) {
  if (const auto* a = std::get_if<Array>(&v.data))
    return fmt::format("{} x {}", a->size(), value_type_name(a->element));
  if (const auto* s = std::get_if<std::string>(&v.data)) {
    std::string line = printable(*s);
    if (const size_t end = line.find('\n'); end != std::string::npos) line = line.substr(0, end) + " ...";
    return line.size() > 200 ? std::string(clipped(line, 200)) + " ..." : line;
  }
  return json::serialize(scalar_json(v));
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, " x "));
}

/// The model as the forward pass and the tokenizer see it; where they refuse it, why.
struct Readings {
  Result<ModelConfig> config;
  Result<std::shared_ptr<const Tokenizer>> tokenizer;
};

json::object config_json(const ModelConfig& c) {
  return {{"layers", c.layers},
          {"width", c.width},
          {"feed_forward", c.feed_forward},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"vocabulary", c.vocabulary},
          {"context_length", c.context_length},
          {"tied_embeddings", c.tied_embeddings},
          {"experts", c.experts.count},
          {"experts_used", c.experts.used}};
}

json::object tokenizer_json(const Checkpoint& checkpoint, const Readings& readings) {
  json::object out;
  const auto text = [&](std::string_view key) { return checkpoint.metadata.string_or(key, ""); };
  if (const auto model = text("tokenizer.ggml.model"); model.ok()) out["model"] = *model;
  if (const auto pre = text("tokenizer.ggml.pre"); pre.ok()) out["pre_tokenizer"] = *pre;
  if (readings.tokenizer.ok()) {
    const Tokenizer& t = **readings.tokenizer;
    out["tokens"] = t.vocabulary_size();
    out["bos"] = t.bos();
    out["eos"] = t.eos();
    out["adds_bos"] = t.adds_bos();
  } else {
    out["problem"] = readings.tokenizer.error().message;
  }
  return out;
}

class Report {
 public:
  Report(const Checkpoint& checkpoint, const Options& options)
      : checkpoint_(checkpoint),
        options_(options),
        readings_{read_model_config(checkpoint), Tokenizer::from_metadata(checkpoint.metadata)} {}

  Status scan(const Context& context) {
    uint64_t total = 0, done = 0;
    for (const Tensor& t : checkpoint_.tensors) total += t.bytes();
    context.progress.begin("reading values", "bytes", total);
    for (const Tensor& t : checkpoint_.tensors) {
      CARAT_TRY(auto range, scan_values(context, t));
      ranges_.push_back(range);
      context.progress.update(done += t.bytes(), t.name);
    }
    context.progress.end();
    return {};
  }

  json::object as_json() const {
    json::object out;
    out["source"] = checkpoint_.source;
    out["container"] = checkpoint_.container;
    out["architecture"] = architecture();
    if (const Family* family = find_family(architecture()))
      out["logits_compared_with"] = json::string(family->checked_against);
    out["parameters"] = parameters();
    out["bits_per_weight"] = bits_per_weight();
    out["file_bytes"] = checkpoint_.file_bytes;
    if (readings_.config.ok())
      out["config"] = config_json(*readings_.config);
    else
      out["problem"] = readings_.config.error().message;
    out["tokenizer"] =
        has_tokenizer() ? json::value(tokenizer_json(checkpoint_, readings_)) : json::value(nullptr);
    out["chat_template"] = checkpoint_.metadata.has("tokenizer.chat_template");
    out["provenance"] = provenance();
    if (options_.metadata) {
      json::object all;
      for (const auto& [key, value] : checkpoint_.metadata.entries()) all[key] = metadata_json(value);
      out["metadata"] = std::move(all);
    }
    json::array tensors;
    for (size_t i = 0; i < checkpoint_.tensors.size(); ++i) {
      const Tensor& t = checkpoint_.tensors[i];
      json::object o{{"name", t.name},
                     {"shape", json::array(t.shape.begin(), t.shape.end())},
                     {"encoding", t.encoding->name},
                     {"bytes", t.bytes()}};
      if (const ValueRange* r = range(i)) {
        o["min"] = r->min;
        o["max"] = r->max;
        o["not_finite"] = r->not_finite;
      }
      tensors.push_back(std::move(o));
    }
    out["tensors"] = std::move(tensors);
    return out;
  }

  std::string as_text() const {
    std::string out;
    const auto line = [&](std::string_view label, std::string_view text) {
      out += fmt::format("{:<16} {}\n", label, text);
    };
    line("model", printable(checkpoint_.source));
    line("container", fmt::format("{}, {} ({} bytes)", checkpoint_.container,
                                  human_bytes(checkpoint_.file_bytes), checkpoint_.file_bytes));
    line("architecture", architecture().empty() ? "not named" : printable(architecture()));
    if (const Family* family = find_family(architecture()))
      line("", family->checked_against.empty()
                   ? std::string("unverified: logits were compared with nobody's")
                   : fmt::format("logits compared with {}", family->checked_against));
    if (readings_.config.ok()) {
      const ModelConfig& c = *readings_.config;
      line("", fmt::format("{} layers, width {}, feed-forward {}, context {}", c.layers, c.width,
                           c.feed_forward, c.context_length));
      line("", fmt::format("{} heads ({} for keys and values) of {}", c.heads, c.kv_heads, c.head_dim));
      if (c.experts.count > 0)
        line("", fmt::format("{} of {} experts for each token, of {} feed-forward channels each{}",
                             c.experts.used, c.experts.count, c.experts.feed_forward,
                             c.experts.shared_feed_forward > 0
                                 ? fmt::format("; {} shared by all", c.experts.shared_feed_forward)
                                 : ""));
      line("", fmt::format("vocabulary {}{}", c.vocabulary,
                           c.tied_embeddings ? ", embedding shared with the output" : ""));
    } else {
      line("", fmt::format("cannot be run: {}", printable(readings_.config.error().message)));
    }
    line("parameters", fmt::format("{} ({})", human_count(static_cast<double>(parameters())), parameters()));
    line("bits per weight", fmt::format("{:.3f}", bits_per_weight()));
    std::string_view label = "encodings";
    for (const std::string& encoding : encodings()) line(std::exchange(label, ""), encoding);
    line("tokenizer", tokenizer_line());
    line("chat template", checkpoint_.metadata.has("tokenizer.chat_template") ? "yes" : "none");
    for (const auto& [key, value] : checkpoint_.metadata.entries())
      if (is_provenance(key))
        line(&key == &first_provenance() ? "provenance" : "", key + " = " + metadata_text(value));
    if (options_.metadata) {
      out += "\nmetadata\n";
      for (const auto& [key, value] : checkpoint_.metadata.entries())
        out += fmt::format("  {} = {}\n", printable(key), metadata_text(value));
    }
    out += "\n" + tensor_table();
    return out;
  }

 private:
  static bool is_provenance(std::string_view key) {
    return key.starts_with("carat.") || key == "general.name" || key == "general.license" ||
           key == "general.quantized_by" || key == "general.source.url";
  }
  const std::string& first_provenance() const {
    for (const auto& entry : checkpoint_.metadata.entries())
      if (is_provenance(entry.first)) return entry.first;
    return checkpoint_.source;
  }
  json::object provenance() const {
    json::object out;
    for (const auto& [key, value] : checkpoint_.metadata.entries())
      if (is_provenance(key)) out[key] = metadata_json(value);
    return out;
  }
  std::string architecture() const {
    const auto name = checkpoint_.metadata.string_or("general.architecture", "");
    return name.ok() ? *name : "";
  }
  bool has_tokenizer() const { return checkpoint_.metadata.has("tokenizer.ggml.model"); }
  int64_t parameters() const {
    int64_t n = 0;
    for (const Tensor& t : checkpoint_.tensors) n += t.elements();
    return n;
  }
  double bits_per_weight() const {
    uint64_t bytes = 0;
    for (const Tensor& t : checkpoint_.tensors) bytes += t.bytes();
    const auto n = static_cast<double>(parameters());
    return n > 0 ? 8.0 * static_cast<double>(bytes) / n : 0;
  }
  const ValueRange* range(size_t i) const {
    return i < ranges_.size() && ranges_[i] ? &*ranges_[i] : nullptr;
  }

  std::vector<std::string> encodings() const {
    std::map<std::string_view, std::pair<int, uint64_t>> by_name;
    for (const Tensor& t : checkpoint_.tensors) {
      auto& [count, bytes] = by_name[t.encoding->name];
      ++count;
      bytes += t.bytes();
    }
    std::vector<std::string> parts;
    for (const auto& [name, what] : by_name)
      parts.push_back(fmt::format("{}: {} tensor{}, {}", name, what.first, what.first == 1 ? "" : "s",
                                  human_bytes(what.second)));
    return parts;
  }

  std::string tokenizer_line() const {
    if (!has_tokenizer()) return "none";
    if (!readings_.tokenizer.ok()) return "unusable: " + printable(readings_.tokenizer.error().message);
    const Tokenizer& t = **readings_.tokenizer;
    const auto model = checkpoint_.metadata.string_or("tokenizer.ggml.model", "");
    const auto pre = checkpoint_.metadata.string_or("tokenizer.ggml.pre", "");
    return fmt::format("{}{}{}, {} tokens, begin {}, end {}", model.ok() ? printable(*model) : "",
                       pre.ok() && !pre->empty() ? "/" : "", pre.ok() ? printable(*pre) : "",
                       t.vocabulary_size(), t.bos(), t.eos());
  }

  std::string tensor_table() const {
    std::string out = fmt::format("{:<36} {:>18} {:<8} {:>14}", "tensor", "shape", "encoding", "bytes");
    if (options_.ranges) out += fmt::format(" {:>12} {:>12}", "min", "max");
    out += "\n";
    for (size_t i = 0; i < checkpoint_.tensors.size(); ++i) {
      const Tensor& t = checkpoint_.tensors[i];
      out += fmt::format("{:<36} {:>18} {:<8} {:>14}", printable(t.name), shape_text(t.shape),
                         t.encoding->name, t.bytes());
      if (const ValueRange* r = range(i)) {
        out += fmt::format(" {:>12.5g} {:>12.5g}", r->min, r->max);
        if (r->not_finite > 0) out += fmt::format("  {} values are not finite", r->not_finite);
      }
      out += "\n";
    }
    return out;
  }

  const Checkpoint& checkpoint_;
  const Options& options_;
  Readings readings_;
  std::vector<std::optional<ValueRange>> ranges_;
};

Status inspect(const Options& options, Invocation& run) {
  if (options.outliers) {
    CARAT_TRY(const CalibrationStatistics statistics, read_statistics(options.model));
    return print_outliers(options.model, statistics, run.console);
  }
  CARAT_TRY(const Checkpoint checkpoint, open_model(options.model));
  Report report(checkpoint, options);
  if (options.ranges) CARAT_DO(report.scan(run.context));
  if (run.console.json()) return run.console.print_json(report.as_json());
  return run.console.print(report.as_text());
}

VerbBody prepare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_flag("--ranges", options->ranges,
               "Also the smallest and largest value of each tensor (reads everything)");
  app.add_flag("--metadata", options->metadata, "Also every metadata key");
  app.add_flag("--outliers", options->outliers,
               "MODEL is a file of statistics (carat calibrate): the columns that make a model\n"
               "hard to quantize");
  return [options](Invocation& run) { return inspect(*options, run); };
}

}  // namespace

const Verb inspect_verb = {"inspect",
                           "Show what is in a model: architecture, size, every tensor, tokenizer, provenance",
                           "Examples:\n"
                           "  carat inspect model.gguf\n"
                           "  carat inspect ~/models/SmolLM2-135M --ranges\n"
                           "  carat inspect model.gguf --json | jq .bits_per_weight\n"
                           "  carat inspect --outliers model.imatrix.gguf",
                           prepare};

}  // namespace carat
