// carat verify: is this file what its writer made?
#include <memory>

#include "arch/open_model.h"
#include "cli/format.h"
#include "cli/verb.h"
#include "quantize/verify.h"

namespace carat {
namespace {

json::object report_json(const VerifyReport& r, const std::string& path) {
  return {{"file", path},
          {"ok", true},
          {"container", r.container},
          {"file_bytes", r.file_bytes},
          {"tensors", r.tensors},
          {"digests_checked", r.digests_checked},
          {"values_checked", r.values_checked},
          {"provenance", r.has_provenance},
          {"runs", r.cannot_run.empty()},
          {"cannot_run", r.cannot_run.empty() ? json::value(nullptr) : json::value(r.cannot_run)}};
}

std::string report_text(const VerifyReport& r, const std::string& path) {
  const bool runs = r.cannot_run.empty();
  std::string out = fmt::format("{}: {} {}, {} tensors, {}{}\n", printable(path), runs ? "good" : "unbroken",
                                r.container == "gguf" ? "GGUF file" : "Hugging Face directory", r.tensors,
                                human_bytes(r.file_bytes), runs ? "" : ", but carat cannot run it");
  out += r.digests_checked > 0 ? fmt::format("  digests     {} of {} tensors are as they were written\n",
                                             r.digests_checked, r.tensors)
                               : std::string("  digests     none recorded\n");
  out += fmt::format("  values      all finite in {} of {} tensors", r.values_checked, r.tensors);
  out += r.values_checked < r.tensors ? " (the others have encodings carat does not decode)\n" : "\n";
  out += fmt::format("  provenance  {}\n", r.has_provenance ? "recorded" : "none recorded");
  out += fmt::format("  runs        {}\n", runs ? "carat can run it" : "no: " + printable(r.cannot_run));
  return out;
}

Status verify_verb_body(const std::string& path, Invocation& run) {
  CARAT_TRY(const Checkpoint checkpoint, open_model(path));
  CARAT_TRY(const VerifyReport report, verify(run.context, checkpoint));
  if (!report.ok()) {
    for (size_t i = 1; i < report.problems.size(); ++i) run.console.say(report.problems[i]);
    return bad_data(
        "{}: {}{}", path, report.problems.front(),
        report.problems.size() > 1 ? fmt::format(" (and {} more)", report.problems.size() - 1) : "");
  }
  if (run.console.json()) return run.console.print_json(report_json(report, path));
  return run.console.print(report_text(report, path));
}

VerbBody prepare(CLI::App& app) {
  auto path = std::make_shared<std::string>();
  app.add_option("MODEL", *path, "GGUF file or Hugging Face directory")->type_name("")->required();
  return [path](Invocation& run) { return verify_verb_body(*path, run); };
}

}  // namespace

const Verb verify_verb = {
    "verify", "Check a model: structure, digests, finite values, provenance",
    "Reads every byte once. Exit code 65 means that something is wrong with the model. A model that\n"
    "carat cannot run (another architecture, tensors or a tokenizer missing) is said to be one, with\n"
    "the reason; its file may be as it was written all the same, which is exit code 0.\n\n"
    "Examples:\n"
    "  carat verify model.gguf\n"
    "  carat verify model.gguf --json",
    prepare};

}  // namespace carat
