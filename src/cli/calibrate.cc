// carat calibrate: statistics of what a model's matrices read.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "arch/open_model.h"
#include "base/stopwatch.h"
#include "cli/calibration_text.h"
#include "cli/file_checks.h"
#include "cli/format.h"
#include "cli/machine_notes.h"
#include "cli/verb.h"
#include "containers/gguf.h"
#include "containers/mapped_file.h"
#include "measure/limits.h"
#include "stats/calibrate.h"
#include "stats/statistics_file.h"

namespace carat {
namespace {

struct Options {
  std::string model, out, hessians, format = "gguf";
  std::vector<std::string> merge, merge_hessians;
  CalibrationTextArguments text;
  bool resume = false, force = false;
};

struct Outcome {
  CalibrationStatistics statistics;
  int64_t resumed = 0;
  double seconds = 0;
};

/// Null where none are asked for. What is to be merged is looked at first: hours later would be late.
Result<std::unique_ptr<HessianWriter>> open_hessians(const Options& options, const Checkpoint& checkpoint,
                                                     const CalibrationText& text) {
  if (options.hessians.empty()) return nullptr;
  HessianWriteOptions how;
  for (const std::string& path : options.merge_hessians) {
    CARAT_TRY(HessianFile other, HessianFile::open(path, checkpoint));
    how.others.push_back(std::move(other));
  }
  how.resume = options.resume;
  how.discard = options.force;
  CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
  CalibrationOrigin origin;
  if (!text.sequences.empty()) {
    CARAT_TRY(origin, calibration_origin(checkpoint, text, options.text.activations));
    CARAT_TRY(how.source, stored_digest(checkpoint));
  }
  return HessianWriter::create(options.hessians, config, origin, std::move(how));
}

/// The sum of what was merged, where no text is read.
Status merge_hessians(const Context& context, HessianWriter& writer) {
  context.progress.begin("merge", "Hessians", writer.places().size());
  while (writer.completed() < writer.places().size()) {
    CARAT_DO(context.check());
    CARAT_DO(writer.write({}));
    context.progress.update(writer.completed(), "");
  }
  context.progress.end();
  return writer.finish({});
}

/// How to go on after an interruption or a full disk.
Error said_what_is_kept(Error e, const Options& options) {
  if (e.code != Code::interrupted && e.code != Code::io) return e;
  const std::string checkpoint = options.out + ".checkpoint";
  if (!options.hessians.empty())
    e.message += fmt::format(
        "; {}.partial keeps the Hessians that are finished, and the same command with --resume {}adds up "
        "only "
        "those that are missing",
        options.hessians, options.text.texts.empty() ? "" : "runs the text through the layers again, but ");
  else if (file_exists(checkpoint))
    e.message += fmt::format(
        "; {} keeps the sums of the sequences that are through, and the same command with "
        "--resume goes on from there",
        checkpoint);
  else if (e.code == Code::interrupted)
    e.message +=
        "; nothing is kept yet, as the first sequences are not through: the same command begins again";
  return e;
}

/// Before hours of work: what Hessians take of the disk, and of memory a layer at a time.
void note_hessians(const HessianWriter& writer, const std::string& path, Console& console) {
  uint64_t file = 0;
  std::map<int64_t, uint64_t> squares;  // by layer
  for (const HessianPlace& p : writer.places()) {
    const auto matrices = static_cast<uint64_t>(p.matrices), columns = static_cast<uint64_t>(p.columns);
    file += matrices * static_cast<uint64_t>(p.triangle()) * sizeof(float);
    squares[p.input == LinearInput::output ? -1 : p.layer] += matrices * columns * columns * sizeof(float);
  }
  uint64_t layer = 0;
  for (const auto& [index, bytes] : squares) layer = std::max(layer, bytes);
  const uint64_t available = available_memory();
  console.note(fmt::format("{} will have {} of Hessians; those of one layer take {} of memory{}", path,
                           human_bytes(file), human_bytes(layer),
                           available > 0 && layer > available
                               ? fmt::format(", more than the {} that are free", human_bytes(available))
                               : ""));
}

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
  CalibrationText text;
  if (!options.text.texts.empty()) {
    CARAT_TRY(text, read_calibration_text(options.text, checkpoint));
  }
  CARAT_TRY(const std::unique_ptr<HessianWriter> hessians, open_hessians(options, checkpoint, text));
  if (!options.text.texts.empty()) {
    note_memory(checkpoint, run.console);
    if (hessians) note_hessians(*hessians, options.hessians, run.console);
    CalibrateOptions how;
    how.activations = options.text.activations;
    how.checkpoint_path = options.out + ".checkpoint";
    how.resume = options.resume;
    how.discard = options.force;
    how.hessians = hessians.get();
    auto calibration = calibrate(run.context, checkpoint, text, how);
    if (!calibration) {
      // A resume would meet the same values again.
      if (hessians && calibration.error().code == Code::bad_data) hessians->discard();
      return said_what_is_kept(std::move(calibration).error(), options);
    }
    out.statistics = std::move(calibration->statistics);
    out.resumed = calibration->resumed_sequences;
  } else {
    out.statistics = std::move(parts.front().second);
    parts.erase(parts.begin());
    if (hessians) {
      if (Status merged = merge_hessians(run.context, *hessians); !merged)
        return said_what_is_kept(std::move(merged).error(), options);
    }
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
    if (s.matrices > 1 && name.find("_exps") != std::string::npos) out[name] = json::value_from(s.counts);
  return out;
}

Status check_outputs(const Options& options, const Checkpoint& checkpoint) {
  for (const std::string& out : {options.out, options.hessians})
    if (is_one_of(out, checkpoint.files)) return usage_error("{}: is a file of the model", out);
  std::vector<std::string> inputs = options.text.texts;
  inputs.insert(inputs.end(), options.merge.begin(), options.merge.end());
  inputs.insert(inputs.end(), options.merge_hessians.begin(), options.merge_hessians.end());
  CARAT_DO(check_files({options.out, options.out + ".checkpoint", options.hessians}, inputs));
  // Hours later would be late.
  CARAT_DO(check_gguf_place(options.out, {.fingerprint = "", .discard_partial = true}));
  if (options.hessians.empty()) {
    if (!options.merge_hessians.empty())
      return usage_error(
          "--merge-hessians adds to Hessians that are written: name them with --hessians FILE");
    return {};
  }
  if (options.text.texts.empty() && options.merge_hessians.empty())
    return usage_error("there is nothing to make Hessians of: give --text FILE, or --merge-hessians FILE");
  return {};
}

Status calibrate_verb_body(const Options& options, Invocation& run) {
  if (options.text.texts.empty() && options.merge.empty())
    return usage_error("say what to calibrate on: --text FILE (or what to merge: --merge FILE)");
  CARAT_TRY(const Checkpoint checkpoint, open_model(options.model));
  CARAT_DO(check_outputs(options, checkpoint));
  CARAT_TRY(const Outcome outcome, collect(options, checkpoint, run));
  const CalibrationStatistics& s = outcome.statistics;
  CARAT_DO(write_statistics(options.out, s,
                            options.format == "dat" ? StatisticsFormat::dat : StatisticsFormat::gguf));
  if (!options.text.texts.empty())
    for (const char* left : {".checkpoint", ".checkpoint.new"})  // the latter by a kill while it was written
      ::unlink((options.out + left).c_str());

  const std::vector<std::string> notes = coverage_notes(s);
  for (const std::string& note : notes) run.console.note(note);
  const uint64_t tokens = s.chunks * s.chunk_tokens;
  if (run.console.json())
    return run.console.print_json({{"output", options.out},
                                   {"format", options.format},
                                   {"hessians", options.hessians},
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
  app.add_option("--hessians", o->hessians,
                 "Also write the Hessians of what the matrices read, for carat quantize --method gptq\n"
                 "--hessians: 2 bytes times the square of each input's columns")
      ->type_name("FILE");
  app.add_option("--merge-hessians", o->merge_hessians, "Hessians to add to those of --text")
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
    "STATS.checkpoint for --resume (with --hessians, what is there of that file).\n\n"
    "Examples:\n"
    "  carat calibrate model.gguf --text mixed.txt --text code.txt -o model.imatrix.gguf --chunks 128\n"
    "  carat calibrate model/ --chat --text conversations.jsonl -o chat.imatrix.gguf\n"
    "  carat calibrate model.gguf --merge a.imatrix.gguf b.dat -o both.imatrix.gguf",
    prepare};

}  // namespace carat
