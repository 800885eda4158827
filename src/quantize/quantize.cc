#include "quantize/quantize.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "base/stopwatch.h"
#include "containers/gguf.h"
#include "containers/mapped_file.h"
#include "quantize/block_walker.h"
#include "quantize/prepare.h"
#include "quantize/provenance.h"
#include "quantize/stored_hessians.h"
#include "quantize/stream.h"
#include "quantize/work.h"

namespace carat {
namespace {

/// What stopped a run before there was anything of its own to go on from.
Error before_the_first_tensor(Error e, bool resume) {
  if (e.code != Code::interrupted) return e;
  e.message += resume ? "; what an earlier run left is as it was, and the same command goes on from there"
                      : "; nothing was written yet, and the same command begins again";
  return e;
}

/// What may be in the way of the files, before there is anything to write into them.
Status check_places(const Checkpoint& checkpoint, const std::string& out_path,
                    const QuantizeOptions& options) {
  CARAT_DO(check_output(checkpoint, out_path));
  std::vector<std::string> files = {out_path};
  if (options.split_bytes > 0) {
    CARAT_TRY(const QuantizePlan plan, plan_quantize(checkpoint, options));
    std::vector<PlannedTensor> planned;
    for (const TensorPlan& t : plan.tensors) planned.push_back({t.name, t.shape, t.to});
    CARAT_TRY(files, gguf_files(out_path, plan.metadata, planned, options.split_bytes));
  }
  for (const std::string& file : files)
    CARAT_DO(check_gguf_place(file, {"", options.resume, options.discard_partial}));
  return {};
}

}  // namespace

uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("VmHWM:")) continue;
    const size_t digit = line.find_first_of("0123456789");
    uint64_t kilobytes = 0;
    if (digit != std::string::npos)
      std::from_chars(line.data() + digit, line.data() + line.size(), kilobytes);
    return kilobytes * 1024;
  }
  return 0;
}

QuantizeReport make_report(const Checkpoint& checkpoint, Work work,
                           const std::vector<TensorRecord>& records) {
  QuantizeReport report;
  report.source_digest = source_digest(checkpoint, records);
  report.input_bytes = work.plan.input_bytes;
  report.output_bytes = work.plan.output_bytes;
  report.bits_per_weight = work.plan.bits_per_weight;
  report.fallbacks = std::move(work.plan.fallbacks);
  report.notes = std::move(work.plan.notes);
  for (size_t i = 0; i < records.size(); ++i) {
    TensorPlan& t = work.plan.tensors[i];
    if (records[i].guide.unseen > 0)
      report.notes.push_back(
          fmt::format("{}: {} of {} experts saw no calibration token and were rounded as without text",
                      t.name, records[i].guide.unseen, t.shape.front()));
    report.tensors.push_back({std::move(t.name), std::move(t.shape), t.from, t.to, std::move(t.method),
                              std::move(t.reason), records[i].relative_error, records[i].underflows,
                              records[i].guide});
    report.underflows += records[i].underflows;
  }
  report.peak_rss_bytes = peak_rss_bytes();
  return report;
}

Status check_output(const Checkpoint& checkpoint, const std::string& out_path) {
  for (const char* suffix : {"", ".partial", ".journal"})
    if (is_one_of(out_path + suffix, checkpoint.files))
      return usage_error(
          "{}{} is a file of the source; choose another output, which never replaces its input", out_path,
          suffix);
  std::error_code ignored;
  if (std::filesystem::is_directory(out_path, ignored))
    return usage_error("{} is a directory; name a file in it", out_path);
  return {};
}

Result<QuantizeReport> run_work(const Context& context, const Checkpoint& checkpoint,
                                const std::string& out_path, Work work, const RunOptions& options) {
  const Stopwatch watch;
  CARAT_DO(check_output(checkpoint, out_path));

  std::vector<PlannedTensor> planned;
  for (const TensorPlan& t : work.plan.tensors) planned.push_back({t.name, t.shape, t.to});
  std::unique_ptr<Guide> guide;
  std::vector<const Encoding*> targets;
  for (const PlannedTensor& t : planned) targets.push_back(t.encoding);
  if (work.guided) {
    auto made = work.hessians
                    ? make_stored_guide(checkpoint, *work.hessians, targets, work.feedback, work.allow_unseen)
                    : make_block_walker(context, checkpoint, targets, *work.text, work.activations,
                                        work.feedback, work.allow_unseen);
    if (!made) return before_the_first_tensor(std::move(made).error(), options.resume);
    guide = *std::move(made);
  }
  CARAT_TRY(std::vector<std::string> files,
            gguf_files(out_path, work.plan.metadata, planned, options.split_bytes));
  for (const std::string& file : files) CARAT_DO(check_output(checkpoint, file));
  GgufWriteOptions write;
  write.split_bytes = options.split_bytes;
  CARAT_TRY(write.fingerprint, fingerprint(checkpoint, work));
  write.resume = options.resume;
  write.discard_partial = options.discard_partial;
  CARAT_TRY(const std::unique_ptr<CheckpointWriter> writer,
            create_gguf(out_path, work.plan.metadata, planned, write));

  const size_t resumed = writer->completed();
  std::vector<TensorRecord> records;
  Status streamed = stream_tensors(context, options.stage, checkpoint, work, options.slab_weights,
                                   guide.get(), *writer, records);
  if (!streamed) {
    // A resume would meet the same values again; after an interruption or a full disk it would not.
    Error e = std::move(streamed).error();
    if (e.code == Code::bad_data) writer->discard();
    if (e.code == Code::interrupted || e.code == Code::io)
      e.message += fmt::format("; the same command with --resume goes on from {}.partial", files.front());
    return e;
  }
  Metadata final = work.plan.metadata;
  set_evidence(final, source_digest(checkpoint, records), records);
  CARAT_DO(writer->finish(&final));

  QuantizeReport report = make_report(checkpoint, std::move(work), records);
  report.resumed_tensors = resumed;
  report.output_bytes = writer->total_bytes();
  report.files = std::move(files);
  const auto too_large = std::ranges::count_if(report.files, [&](const std::string& file) {
    std::error_code ignored;
    return std::filesystem::file_size(file, ignored) > options.split_bytes;
  });
  if (options.split_bytes > 0 && too_large > 0)
    report.notes.push_back(fmt::format("{} of {} parts are larger than asked for, as tensors are not divided",
                                       too_large, report.files.size()));
  report.seconds = watch.seconds();
  return report;
}

Result<QuantizeReport> quantize(const Context& context, const Checkpoint& checkpoint,
                                const std::string& out_path, const QuantizeOptions& options) {
  const Stopwatch watch;
  CARAT_DO(check_places(checkpoint, out_path, options));
  auto prepared = prepare_quantize(context, checkpoint, options);
  if (!prepared) return before_the_first_tensor(std::move(prepared).error(), options.resume);
  CARAT_TRY(QuantizeReport report,
            run_work(context, prepared->checkpoint, out_path, std::move(prepared->work),
                     {"quantize", options.resume, options.discard_partial, options.slab_weights,
                      options.split_bytes}));
  report.transforms = std::move(prepared->notes);
  report.seconds = watch.seconds();
  return report;
}

}  // namespace carat
