// carat calibrate: statistics of what a model's matrices read.
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "arch/open_model.h"
#include "base/stopwatch.h"
#include "cli/calibration_text.h"
#include "cli/format.h"
#include "cli/machine_notes.h"
#include "cli/verb.h"
#include "containers/mapped_file.h"
#include "stats/calibrate.h"
#include "stats/statistics_file.h"

namespace carat {
namespace {

struct Options {
  std::string model, out, format = "gguf";
  std::vector<std::string> merge;
  CalibrationTextArguments text;
  bool resume = false, force = false;
};

struct Outcome {
  CalibrationStatistics statistics;
  int64_t resumed = 0;
  double seconds = 0;
};

Result<Outcome> collect(const Options& options, const Checkpoint& checkpoint, Invocation& run) {
  Outcome out;
  const Stopwatch watch;
  std::vector<std::pair<std::string, CalibrationStatistics>> parts;
  // What is to be merged is looked at first: hours later would be late.
  for (const std::string& path : options.merge) {
    CARAT_TRY(CalibrationStatistics other, read_statistics(path));
    CARAT_DO(fit_statistics(checkpoint, path, other));
    parts.emplace_back(path, std::move(other));
  }
  if (!options.text.texts.empty()) {
    CARAT_TRY(const CalibrationText text, read_calibration_text(options.text, checkpoint));
    note_memory(checkpoint, run.console);
    CalibrateOptions how;
    how.activations = options.text.activations;
    how.checkpoint_path = options.out + ".checkpoint";
    how.resume = options.resume;
    how.discard = options.force;
    CARAT_TRY(Calibration calibration, calibrate(run.context, checkpoint, text, how));
    out.statistics = std::move(calibration.statistics);
    out.resumed = calibration.resumed_sequences;
  } else {
    out.statistics = std::move(parts.front().second);
    parts.erase(parts.begin());
  }
  for (const auto& [path, other] : parts) CARAT_DO(merge_statistics(path, other, out.statistics));
  out.seconds = watch.seconds();
  return out;
}

/// How many tokens the experts of a mixture saw, layer by layer; and which saw none.
std::vector<std::string> coverage_notes(const CalibrationStatistics& statistics) {
  std::vector<std::string> notes;
  for (const auto& [name, s] : statistics.tensors) {
    const auto unseen = std::ranges::count(s.counts, 0.0);
    const auto [fewest, most] = std::ranges::minmax_element(s.counts);
    if (unseen > 0)
      notes.push_back(
          fmt::format("{}: {} of {} experts saw no token, expert {} the first; quantize refuses them "
                      "without --allow-fallback",
                      name, unseen, s.matrices, fewest - s.counts.begin()));
    else if (s.matrices > 1 && name.find("down") != std::string::npos)  // a layer's others saw the same
      notes.push_back(fmt::format("{}: its {} experts saw {} tokens (expert {}) to {} (expert {})", name,
                                  s.matrices, *fewest, fewest - s.counts.begin(), *most,
                                  most - s.counts.begin()));
  }
  return notes;
}

/// Tokens seen by each expert, for tensors that have several.
json::object expert_tokens(const CalibrationStatistics& statistics) {
  json::object out;
  for (const auto& [name, s] : statistics.tensors)
    if (s.matrices > 1) out[name] = json::value_from(s.counts);
  return out;
}

Status calibrate_verb_body(const Options& options, Invocation& run) {
  if (options.text.texts.empty() && options.merge.empty())
    return usage_error("say what to calibrate on: --text FILE (or what to merge: --merge FILE)");
  CARAT_TRY(const Checkpoint checkpoint, open_model(options.model));
  if (is_one_of(options.out, checkpoint.files)) return usage_error("{}: is a file of the model", options.out);
  CARAT_TRY(const Outcome outcome, collect(options, checkpoint, run));
  const CalibrationStatistics& s = outcome.statistics;
  CARAT_DO(write_statistics(options.out, s,
                            options.format == "dat" ? StatisticsFormat::dat : StatisticsFormat::gguf));
  if (!options.text.texts.empty()) ::unlink((options.out + ".checkpoint").c_str());

  const std::vector<std::string> notes = coverage_notes(s);
  for (const std::string& note : notes) run.console.note(note);
  const uint64_t tokens = s.chunks * s.chunk_tokens;
  if (run.console.json())
    return run.console.print_json({{"output", options.out},
                                   {"format", options.format},
                                   {"tensors", s.tensors.size()},
                                   {"chunks", s.chunks},
                                   {"chunk_tokens", s.chunk_tokens},
                                   {"tokens", tokens},
                                   {"texts", json::value_from(s.datasets)},
                                   {"text_digests", json::value_from(s.text_digests)},
                                   {"model", s.model},
                                   {"arithmetic", s.arithmetic},
                                   {"expert_tokens", expert_tokens(s)},
                                   {"resumed_chunks", outcome.resumed},
                                   {"seconds", outcome.seconds},
                                   {"notes", json::value_from(notes)}});
  return run.console.print(fmt::format(
      "{}: {} tensors, {} tokens in {} {} of {}, {:.1f} s\n", printable(options.out), s.tensors.size(),
      tokens, s.chunks, s.chunks == 1 ? "sequence" : "sequences", s.chunk_tokens, outcome.seconds));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "GGUF file or Hugging Face directory")->type_name("")->required();
  app.add_option("-o,--output", o->out, "Statistics to write (required)")->required()->type_name("STATS");
  add_calibration_text(app, o->text, "Text to run through the model, UTF-8");
  app.add_option("--merge", o->merge, "Statistics to add: carat's, or llama.cpp's importance matrices")
      ->type_name("FILE");
  app.add_option("--format", o->format,
                 "gguf (the default; llama.cpp reads it too) or dat, llama.cpp's older form\n"
                 "(mean squares only)")
      ->check([](const std::string& name) {
        return name == "gguf" || name == "dat"
                   ? std::string()
                   : fmt::format("unknown format '{}'; there are gguf, dat", name);
      })
      ->type_name("FORMAT");
  auto* resume = app.add_flag("--resume", o->resume, "Go on where an interrupted run stopped");
  app.add_flag("--force", o->force, "Begin anew: throw the checkpoint of an interrupted run away")
      ->excludes(resume);
  return [o](Invocation& run) { return calibrate_verb_body(*o, run); };
}

}  // namespace

const Verb calibrate_verb = {
    "calibrate", "Collect statistics of what a model's matrices read, for quantizing with importance",
    "Runs texts through the model and sums up, column by column, what each matrix reads. The file\n"
    "is a llama.cpp importance matrix with more in it: carat quantize --calibration takes it, and\n"
    "so does llama-quantize --imatrix. Use text of the kind the model will see; some ten thousand\n"
    "tokens do.\n\n"
    "A model larger than memory is gone through layer by layer. An interrupted run leaves\n"
    "STATS.checkpoint for --resume.\n\n"
    "Examples:\n"
    "  carat calibrate model.gguf --text mixed.txt --text code.txt -o model.imatrix.gguf --chunks 128\n"
    "  carat calibrate model/ --chat --text conversations.jsonl -o chat.imatrix.gguf\n"
    "  carat calibrate model.gguf --merge a.imatrix.gguf b.dat -o both.imatrix.gguf",
    prepare};

}  // namespace carat
