// How much a model's answers move when one of its tensors is rounded: what an allocator weighs against bytes.
//
// For each tensor one divergence is measured, with the tensor rounded to one encoding (the probe), and for
// every encoding the error that rounding to it adds to the tensor's outputs. Small divergences are quadratic
// in the perturbation, so the one number, scaled by the ratio of the errors, predicts all the others.
//
// The file is a line of JSON about the measurement and one per tensor; lines are appended as tensors are
// done, so that an interrupted run has lost nothing:
//
//   {"carat_sensitivities": 2, "model": DIGEST, "text": DIGEST, "method": "gptq ...", "importance": DIGEST}
//   {"tensor": "blk.0.attn_q.weight", "probe": "Q3_K", "kl": 0.0012, "errors": {"Q4_0": 0.0081, ...}, "xxh3":
//   DIGEST}
//
// The last member is the XXH3 of the line without it: a digit that a bad disk has changed would still be a
// number.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "encodings/encoding.h"

namespace carat {

struct EncodingError {
  const Encoding* encoding = nullptr;
  double error = 0;  ///< squared error of the outputs over their squares, on text the rounder has not seen
};

struct TensorSensitivity {
  std::string tensor;
  const Encoding* probe = nullptr;
  double kl = 0;  ///< nats per token, the model against itself with this tensor rounded to `probe`
  std::vector<EncodingError> errors;

  /// Of the tensor in that encoding; nothing where its error was not measured.
  std::optional<double> predicted_kl(const Encoding& encoding) const;
};

/// What was measured, so that figures of something else are not taken for it.
struct SensitivityOrigin {
  std::string model, text;  ///< digests
  std::string method;       ///< with its numbers
  std::string importance;   ///< digest of the statistics, or empty
  bool operator==(const SensitivityOrigin&) const = default;
};

using Sensitivities = std::map<std::string, TensorSensitivity>;

std::string format_origin(const SensitivityOrigin& origin);
std::string format_sensitivity(const TensorSensitivity& tensor);

struct SensitivityText {
  Sensitivities tensors;
  size_t whole_bytes = 0;  ///< without a last line that was cut off
};
/// Of a tensor that is there twice, because it was measured again with more encodings, the last line holds.
/// bad_data naming file and line: not such a file, an altered line, an unknown encoding, a number that is
/// none; usage where it was measured on something else than `origin`, naming what differs.
Result<SensitivityText> parse_sensitivities(std::string_view text, const std::string& file,
                                            const SensitivityOrigin& origin);

}  // namespace carat
