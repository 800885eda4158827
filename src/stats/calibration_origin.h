// Where numbers of a calibration come from: the texts, the model and the arithmetic, as every file of such
// numbers carries it.
//
// Metadata keys: imatrix.datasets [string], imatrix.chunk_count u32, imatrix.chunk_size u32 (llama.cpp's),
// carat.calibration.{model, arithmetic} string, carat.calibration.texts [string], and the sample of the text
// (text_sketch.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "containers/checkpoint.h"
#include "stats/text_sketch.h"

namespace carat {

struct CalibrationOrigin {
  std::vector<std::string> datasets;      ///< names of the texts
  std::vector<std::string> text_digests;  ///< of the tokens seen (CalibrationText::digest), one per run
  TextSketch sketch;                      ///< of the same; empty where the file did not say
  uint64_t chunks = 0, chunk_tokens = 0;
  std::string model;       ///< model_identity(), or empty where the file did not say
  std::string arithmetic;  ///< how the products were computed ("float32"), or empty

  uint64_t tokens() const { return chunks * chunk_tokens; }
};

/// A digest of what stays the same when a model's matrices are rounded: the architecture, the names and
/// shapes of its layers' tensors (factors of matrices aside), the values of norms and biases. Reads those.
Result<std::string> model_identity(const Checkpoint& checkpoint);

/// A digest of how the tensors are stored, by their encodings and first rows: what model_identity() passes
/// over.
Result<std::string> stored_digest(const Checkpoint& checkpoint);

/// bad_data where the numbers say that they are of another model than `checkpoint`. `source` names them.
Status check_origin(const Checkpoint& checkpoint, const std::string& source, const CalibrationOrigin& origin);

/// bad_data: of another model; usage: the same text in both, which would count twice. `source` names `other`.
Status check_merge(const std::string& source, const CalibrationOrigin& other, const CalibrationOrigin& into);
/// As if the texts of both had been seen in one run.
void merge_origin(const CalibrationOrigin& other, CalibrationOrigin& into);

Status read_origin(const Metadata& metadata, CalibrationOrigin& origin);
void write_origin(const CalibrationOrigin& origin, Metadata& metadata);

}  // namespace carat
