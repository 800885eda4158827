#include "quantize/convert.h"

#include <chrono>

#include "arch/open_model.h"
#include "quantize/provenance.h"
#include "quantize/work.h"

namespace carat {
namespace {

/// Sidecars that an earlier step carried through GGUF become files again.
Result<Checkpoint> with_sidecars(const Checkpoint& source) {
  Checkpoint out = source;
  for (const auto& [key, value] : source.metadata.entries()) {
    if (!key.starts_with(kSidecarPrefix)) continue;
    const std::string name = key.substr(kSidecarPrefix.size());
    if (!is_sidecar_name(name))
      return bad_data("{}: {} would make a file outside the directory", source.source, key);
    CARAT_TRY(const std::string* text, source.metadata.string_at(key));
    out.sidecars.emplace_back(name, *text);
    out.metadata.erase(key);
  }
  return out;
}

Result<QuantizeReport> to_huggingface(const Context& context, const Checkpoint& source,
                                      const std::string& directory, const ConvertOptions& options) {
  if (!options.encoding)
    return usage_error(
        "a Hugging Face directory holds one float encoding; choose F32, F16 or BF16 with --to");
  const auto start = std::chrono::steady_clock::now();
  CARAT_TRY(Checkpoint checkpoint, with_sidecars(source));
  HfWriteOptions write;
  write.encoding = options.encoding;
  QuantizeReport report;
  CARAT_DO(write_hf_directory(context, checkpoint, directory, write, &report.underflows));
  CARAT_TRY(const Checkpoint written, open_model(directory));
  report.input_bytes = source.file_bytes;
  report.output_bytes = written.file_bytes;
  double bits = 0, weights = 0;
  for (const Tensor& t : written.tensors) {
    const Tensor* from = source.find(t.name);
    report.tensors.push_back({t.name, t.shape, from ? from->encoding : t.encoding, t.encoding,
                              from && from->encoding != t.encoding ? "nearest" : "copy", "converted", 0, 0});
    bits += 8.0 * static_cast<double>(t.bytes());
    weights += static_cast<double>(t.elements());
  }
  report.bits_per_weight = weights > 0 ? bits / weights : 0;
  report.peak_rss_bytes = peak_rss_bytes();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace

Result<QuantizeReport> convert(const Context& context, const Checkpoint& checkpoint,
                               const std::string& out_path, const ConvertOptions& options) {
  if (options.encoding && !options.encoding->is_float)
    return usage_error("{} is no float encoding; `carat quantize` writes it", options.encoding->name);
  if (options.container == Container::huggingface)
    return to_huggingface(context, checkpoint, out_path, options);
  Work work;
  QuantizeOptions q;
  if (options.encoding) {
    CARAT_TRY(q.recipe, named_recipe(options.encoding->name));
    CARAT_TRY(work, plan_work(checkpoint, q));
  } else {
    CARAT_TRY(work, plan_copy(checkpoint));
  }
  return run_work(context, checkpoint, out_path, std::move(work),
                  {options.resume, options.discard_partial, q.slab_weights});
}

}  // namespace carat
