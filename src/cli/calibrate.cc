// carat calibrate: statistics of what a model's matrices read.
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "arch/open_model.h"
#include "base/stopwatch.h"
#include "cli/checks.h"
#include "cli/format.h"
#include "cli/machine_notes.h"
#include "cli/verb.h"
#include "containers/mapped_file.h"
#include "stats/calibrate.h"
#include "stats/statistics_file.h"

namespace carat {
namespace {

constexpr uint64_t kTextLimit = 1'000'000'000;

struct Options {
  std::string model, out, format = "gguf";
  std::vector<std::string> texts, merge;
  CalibrationTextOptions cut;
  bool chat = false, resume = false, force = false;
};

Result<CalibrationText> read_texts(const Options& options, const Checkpoint& checkpoint,
                                   const Tokenizer& tokenizer) {
  std::vector<NamedText> texts;
  for (const std::string& path : options.texts) {
    CARAT_TRY(std::string text, read_small_file(path, kTextLimit));
    texts.push_back({path, std::move(text)});
  }
  if (!options.chat) return cut_calibration_text(tokenizer, texts, options.cut);
  CARAT_TRY(const std::string source, checkpoint.metadata.string_or("tokenizer.chat_template", ""));
  if (source.empty())
    return bad_data("{}: has no chat template; calibrate on plain text, without --chat", checkpoint.source);
  auto format = ChatTemplate::parse(source);
  if (!format) return std::move(format).error().within(checkpoint.source);
  std::vector<NamedTokens> tokens;
  for (const NamedText& text : texts) {
    CARAT_TRY(NamedTokens rendered, tokenize_conversations(tokenizer, **format, text));
    tokens.push_back(std::move(rendered));
  }
  return cut_calibration_tokens(tokenizer, tokens, options.cut);
}

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
  if (!options.texts.empty()) {
    auto tokenizer = Tokenizer::from_metadata(checkpoint.metadata);
    if (!tokenizer) return std::move(tokenizer).error().within(checkpoint.source);
    CARAT_TRY(const CalibrationText text, read_texts(options, checkpoint, **tokenizer));
    note_memory(checkpoint, run.console);
    CalibrateOptions how;
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

/// Matrices of a tensor that saw little or nothing; experts are what this is about.
std::vector<std::string> coverage_notes(const CalibrationStatistics& statistics) {
  std::vector<std::string> notes;
  for (const auto& [name, s] : statistics.tensors) {
    const auto unseen = std::ranges::count(s.counts, 0.0);
    if (unseen > 0)
      notes.push_back(fmt::format("{}: {} of {} experts saw no token; they are rounded without importance",
                                  name, unseen, s.matrices));
  }
  return notes;
}

Status calibrate_verb_body(const Options& options, Invocation& run) {
  if (options.texts.empty() && options.merge.empty())
    return usage_error("say what to calibrate on: --text FILE (or what to merge: --merge FILE)");
  CARAT_TRY(const Checkpoint checkpoint, open_model(options.model));
  for (const std::string& file : checkpoint.files)
    if (same_file(options.out, file)) return usage_error("{}: is a file of the model", options.out);
  CARAT_TRY(const Outcome outcome, collect(options, checkpoint, run));
  const CalibrationStatistics& s = outcome.statistics;
  CARAT_DO(write_statistics(options.out, s,
                            options.format == "dat" ? StatisticsFormat::dat : StatisticsFormat::gguf));
  if (!options.texts.empty()) ::unlink((options.out + ".checkpoint").c_str());

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
  app.add_option("--text", o->texts, "Text to run through the model, UTF-8; several are taken in equal steps")
      ->type_name("FILE");
  app.add_option("-o,--output", o->out, "Statistics to write (required)")->required()->type_name("STATS");
  app.add_flag("--chat", o->chat,
               "The texts are conversations, one JSON object {\"messages\": [{\"role\":\n"
               "..., \"content\": ...}]} per line, and go through the model's chat template");
  app.add_option("--ctx", o->cut.context, "Tokens of a sequence")
      ->capture_default_str()
      ->check(whole_number(2, 1 << 20))
      ->type_name("N");
  app.add_option("--chunks", o->cut.sequences,
                 "At most so many sequences, evenly from all texts (default: all)")
      ->check(whole_number(1, 1 << 30))
      ->type_name("N");
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
    "  carat calibrate model.gguf --text mixed.txt code.txt -o model.imatrix.gguf --chunks 128\n"
    "  carat calibrate model/ --chat --text conversations.jsonl -o chat.imatrix.gguf\n"
    "  carat calibrate model.gguf --merge a.imatrix.gguf b.dat -o both.imatrix.gguf",
    prepare};

}  // namespace carat
