#include "quantize/importance.h"

#include "base/digest.h"
#include "base/file_name.h"

namespace carat {

Result<TensorImportance> importance_of(const Checkpoint& checkpoint, const Tensor& tensor,
                                       const CalibrationStatistics& statistics) {
  auto found = statistics.tensors.find(tensor.name);
  // What a tied embedding meets as an output matrix.
  if (found == statistics.tensors.end() && tensor.name == "token_embd.weight" &&
      !checkpoint.find("output.weight"))
    found = statistics.tensors.find("output.weight");
  if (found == statistics.tensors.end()) return TensorImportance();
  const InputStatistics& s = found->second;
  const int64_t matrices = tensor.shape.size() == 3 ? tensor.shape.front() : 1;
  if (s.columns != tensor.columns() || s.matrices != matrices)
    return bad_data("{}: the statistics of {} are of {} x {} columns, but it has {} x {}", checkpoint.source,
                    tensor.name, s.matrices, s.columns, matrices, tensor.columns());
  TensorImportance importance;
  for (int64_t m = 0; m < matrices; ++m) importance.push_back(s.mean_squares(m));
  return importance;
}

CalibrationRecord calibration_record(const Checkpoint& checkpoint, const std::string& file,
                                     const CalibrationStatistics& statistics,
                                     const std::vector<TensorImportance>& importance) {
  CalibrationRecord record;
  record.file = file_name(file);
  if (!statistics.datasets.empty()) record.dataset = file_name(statistics.datasets.front());
  record.entries = statistics.tensors.size();
  record.chunks = statistics.chunks;
  record.texts = statistics.text_digests;
  record.sketch = statistics.sketch;
  record.arithmetic = statistics.arithmetic;
  Sha256 digest;
  for (size_t i = 0; i < importance.size(); ++i) {
    if (importance[i].empty()) continue;
    digest.update(checkpoint.tensors[i].name);
    for (const std::vector<float>& matrix : importance[i]) {
      digest.update(fmt::format(" {}", matrix.size()));
      digest.update(Bytes(reinterpret_cast<const uint8_t*>(matrix.data()), matrix.size() * sizeof(float)));
    }
  }
  record.digest = digest.hex();
  return record;
}

void set_calibration(Metadata& metadata, const CalibrationRecord& record) {
  metadata.set("quantize.imatrix.file", Value::string(record.file));
  metadata.set("quantize.imatrix.dataset", Value::string(record.dataset));
  metadata.set("quantize.imatrix.entries_count", Value::u32(static_cast<uint32_t>(record.entries)));
  metadata.set("quantize.imatrix.chunks_count", Value::u32(static_cast<uint32_t>(record.chunks)));
  metadata.set("carat.importance.digest", Value::string(record.digest));
  if (!record.texts.empty()) metadata.set("carat.importance.texts", Value::strings(record.texts));
  if (!record.arithmetic.empty())
    metadata.set("carat.importance.arithmetic", Value::string(record.arithmetic));
}

}  // namespace carat
