#include "stats/calibration_origin.h"

#include <algorithm>
#include <map>

#include "arch/tensor_scales.h"
#include "base/digest.h"

namespace carat {

Result<std::string> model_identity(const Checkpoint& checkpoint) {
  std::map<std::string, const Tensor*> tensors;  // by name: a file's order says nothing
  std::string weight;
  for (const Tensor& t : checkpoint.tensors) {
    // Factors belong to how a matrix is stored: another encoding has them multiplied in.
    if (is_scale_name(t.name, weight))
      if (const Tensor* of = checkpoint.find(weight); of && of->shape.size() > 1) continue;
    if (t.name.starts_with("blk.") || t.name == "output_norm.weight") tensors[t.name] = &t;
  }
  Sha256 digest;
  CARAT_TRY(const std::string architecture, checkpoint.metadata.string_or("general.architecture", ""));
  digest.update(architecture);
  // The same channels in another order; what other transforms do shows in shapes and norms.
  if (checkpoint.metadata.has("carat.transform.permute")) digest.update(" permuted");
  for (const auto& [name, tensor] : tensors) {
    digest.update(fmt::format("\n{}", name));
    for (int64_t n : tensor->shape) digest.update(fmt::format(" {}", n));
    if (tensor->shape.size() > 1 || !tensor->encoding->can_decode()) continue;
    CARAT_TRY(const std::vector<float> values, tensor->read_all());
    digest.update(Bytes(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)));
  }
  return digest.hex();
}

Result<std::string> stored_digest(const Checkpoint& checkpoint) {
  Sha256 digest;
  std::vector<uint8_t> row;
  for (const Tensor& t : checkpoint.tensors) {
    digest.update(fmt::format("{} {}\n", t.name, t.encoding->name));
    if (t.rows() < 1) continue;
    row.resize(t.row_bytes());
    CARAT_DO(t.data->read_bytes(0, 1, row.data()));
    digest.update(row);
    t.data->release(0, t.rows());  // the system maps many pages around one that is touched
  }
  return digest.hex();
}

Status check_origin(const Checkpoint& checkpoint, const std::string& source,
                    const CalibrationOrigin& origin) {
  if (origin.model.empty()) return {};
  CARAT_TRY(const std::string identity, model_identity(checkpoint));
  if (identity == origin.model) return {};
  return bad_data("{}: was made for another model than {} (shapes, norms or biases differ)", source,
                  checkpoint.source);
}

Status check_merge(const std::string& source, const CalibrationOrigin& other, const CalibrationOrigin& into) {
  if (!other.model.empty() && !into.model.empty() && other.model != into.model)
    return bad_data("{}: was made for another model than the statistics it is to be merged with", source);
  for (const std::string& digest : other.text_digests)
    if (std::ranges::find(into.text_digests, digest) != into.text_digests.end())
      return usage_error("{}: has seen a text that the others have seen already; it would count twice",
                         source);
  return {};
}

void merge_origin(const CalibrationOrigin& other, CalibrationOrigin& into) {
  into.datasets.insert(into.datasets.end(), other.datasets.begin(), other.datasets.end());
  into.text_digests.insert(into.text_digests.end(), other.text_digests.begin(), other.text_digests.end());
  merge_sketch(other.sketch, into.sketch);
  if (into.chunk_tokens == 0) into.chunk_tokens = other.chunk_tokens;
  if (into.chunk_tokens > 0)  // in chunks of the first file's size
    into.chunks += (other.tokens() + into.chunk_tokens - 1) / into.chunk_tokens;
  if (into.model.empty()) into.model = other.model;
  if (into.arithmetic != other.arithmetic) into.arithmetic = "mixed";
}

Status read_origin(const Metadata& m, CalibrationOrigin& origin) {
  CARAT_TRY(origin.chunks, m.unsigned_or("imatrix.chunk_count", 0));
  CARAT_TRY(origin.chunk_tokens, m.unsigned_or("imatrix.chunk_size", 0));
  CARAT_TRY(origin.model, m.string_or("carat.calibration.model", ""));
  CARAT_TRY(origin.arithmetic, m.string_or("carat.calibration.arithmetic", ""));
  for (auto [key, to] : {std::pair{"imatrix.datasets", &origin.datasets},
                         std::pair{"carat.calibration.texts", &origin.text_digests}}) {
    if (!m.has(key)) continue;
    CARAT_TRY(const auto* strings, m.strings_at(key));
    *to = *strings;
  }
  CARAT_TRY(origin.sketch, read_sketch(m));
  return {};
}

void write_origin(const CalibrationOrigin& origin, Metadata& m) {
  m.set("imatrix.datasets", Value::strings(origin.datasets));
  m.set("imatrix.chunk_count", Value::u32(static_cast<uint32_t>(origin.chunks)));
  m.set("imatrix.chunk_size", Value::u32(static_cast<uint32_t>(origin.chunk_tokens)));
  if (!origin.model.empty()) m.set("carat.calibration.model", Value::string(origin.model));
  if (!origin.arithmetic.empty()) m.set("carat.calibration.arithmetic", Value::string(origin.arithmetic));
  if (!origin.text_digests.empty()) m.set("carat.calibration.texts", Value::strings(origin.text_digests));
  write_sketch(origin.sketch, m);
}

}  // namespace carat
