#include "quantize/convert.h"

#include "arch/open_model.h"
#include "arch/tensor_scales.h"
#include "base/stopwatch.h"
#include "quantize/provenance.h"
#include "quantize/stream.h"
#include "quantize/work.h"

namespace carat {
namespace {

/// Sidecars that an earlier step carried through GGUF become files again.
Status restore_sidecars(Checkpoint& checkpoint) {
  const Metadata before = checkpoint.metadata;
  for (const auto& [key, value] : before.entries()) {
    if (!key.starts_with(kSidecarPrefix)) continue;
    const std::string name = key.substr(kSidecarPrefix.size());
    if (!is_sidecar_name(name))
      return bad_data("{}: {} would make a file outside the directory", checkpoint.source, key);
    CARAT_TRY(const std::string* text, before.string_at(key));
    checkpoint.sidecars.emplace_back(name, *text);
    checkpoint.metadata.erase(key);
  }
  return {};
}

/// Directories have no partial state that a resume could take over.
Error in_a_directory(Error e) {
  if (e.code == Code::interrupted)
    e.message += "; nothing of a directory is kept: the same command begins again";
  return e;
}

/// Two passes over the source: config.json, which is small but written with the weights, holds the source's
/// digest. The first pass also finds what would overflow before anything is written.
Result<QuantizeReport> to_huggingface(const Context& context, const Checkpoint& given,
                                      const std::string& directory, const ConvertOptions& options) {
  if (!options.encoding)
    return usage_error("a Hugging Face directory holds one float encoding: F32, F16 or BF16");
  const Stopwatch watch;
  CARAT_TRY(const Checkpoint source, fold_scales(given));
  Checkpoint checkpoint = source;
  CARAT_DO(restore_sidecars(checkpoint));
  HfWriteOptions write;
  write.encoding = options.encoding;
  write.discard_partial = options.discard_partial;
  if (options.split_bytes > 0) write.shard_bytes = options.split_bytes;
  CARAT_DO(check_hf_directory(checkpoint, directory, write));
  CARAT_TRY(Work work, plan_floats(source, *options.encoding));
  std::vector<TensorRecord> records;
  if (Status measured = measure_tensors(context, "measure", source, work, records); !measured)
    return in_a_directory(std::move(measured).error());

  checkpoint.metadata = carried_metadata(checkpoint, work);
  checkpoint.metadata.set(kDigestKey, Value::string(source_digest(source, records)));
  if (Status written = write_hf_directory(context, checkpoint, directory, write, nullptr); !written)
    return in_a_directory(std::move(written).error());

  CARAT_TRY(const Checkpoint written, open_model(directory));
  work.plan.output_bytes = written.file_bytes;
  QuantizeReport report = make_report(source, std::move(work), records);
  report.seconds = watch.seconds();
  return report;
}

}  // namespace

Result<QuantizeReport> convert(const Context& context, const Checkpoint& given, const std::string& out_path,
                               const ConvertOptions& options) {
  if (options.encoding && !options.encoding->is_float)
    return usage_error("{} is no float encoding; `carat quantize` writes it", options.encoding->name);
  if (options.container == Container::huggingface) return to_huggingface(context, given, out_path, options);
  Work work;
  QuantizeOptions q;
  Checkpoint checkpoint = given;
  if (options.encoding) {
    CARAT_TRY(checkpoint, fold_scales(given));
    CARAT_TRY(q.recipe, named_recipe(options.encoding->name));
    CARAT_TRY(work, plan_work(checkpoint, q));
  } else {
    CARAT_TRY(work, plan_copy(checkpoint));
  }
  return run_work(context, checkpoint, out_path, std::move(work),
                  {"convert", options.resume, options.discard_partial, q.slab_weights, options.split_bytes});
}

}  // namespace carat
