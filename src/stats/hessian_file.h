// Files of Hessians: for every input of a model's matrices the sum of x x^T over the tokens that it was seen
// at, which is what error feedback goes by (rounders/hessian.h).
//
//   GGUF, general.type = "carat.hessians"
//     NAME.hessian          F32 [matrices, columns * (columns + 1) / 2]   lower triangles, row after row
//     carat.hessian.tokens  [u64]   tokens seen, by matrix in the order of the tensors
//     and where they come from (calibration_origin.h)
//
// NAME is the first of the matrices that read the input: those that share one share its Hessian, which
// is many times the size of a row of sums. For the same reason they are no part of the statistics' file: 4
// bytes times columns^2 / 2 per input are 13 GB for a model of 7 billion weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "arch/model_config.h"
#include "containers/checkpoint.h"
#include "model/linear_input.h"
#include "stats/calibration_origin.h"

namespace carat {

/// An input that has a Hessian, or one per expert or head.
struct HessianPlace {
  int64_t layer = 0;  ///< 0 for the output
  LinearInput input{};
  std::vector<std::string> readers;  ///< GGUF names of the matrices that read it; the first names the tensor
  int64_t columns = 0, matrices = 1;

  int64_t triangle() const { return columns * (columns + 1) / 2; }
};

/// All of a model, in the order in which a forward pass meets them.
std::vector<HessianPlace> hessian_places(const ModelConfig& config);

class HessianFile {
 public:
  /// bad_data naming file and tensor: no such file, Hessians of another model (`checkpoint`), or not of all
  /// its inputs.
  static Result<HessianFile> open(const std::string& path, const Checkpoint& checkpoint);

  const std::string& path() const { return file_.source; }
  const CalibrationOrigin& origin() const { return origin_; }
  const std::vector<HessianPlace>& places() const { return places_; }
  uint64_t tokens(size_t place, int64_t matrix) const { return tokens_[place][static_cast<size_t>(matrix)]; }
  /// Of what it holds, by samples.
  std::string digest() const;
  /// out: [triangle()].
  Status read(size_t place, int64_t matrix, float* out) const;

 private:
  Checkpoint file_;
  CalibrationOrigin origin_;
  std::vector<HessianPlace> places_;
  std::vector<std::vector<uint64_t>> tokens_;
};

struct HessianWriteOptions {
  std::vector<HessianFile> others;  ///< to be added to what is written
  /// Of the weights that text goes through (stored_digest()): a resume with others is refused.
  std::string source;
  bool resume = false, discard = false;
};

/// Writes a file of Hessians place by place, through PATH.partial and a journal, so that an interrupted run
/// goes on after the last place that was finished.
class HessianWriter {
 public:
  /// `origin`: of what write() will be given; empty where there are `others` alone. Errors: those of
  /// check_merge() and of creating the file.
  static Result<std::unique_ptr<HessianWriter>> create(const std::string& path, const ModelConfig& config,
                                                       const CalibrationOrigin& origin,
                                                       HessianWriteOptions options);

  const std::vector<HessianPlace>& places() const { return places_; }
  /// Places [0, completed()) are in the file already.
  size_t completed() const;
  /// The next place: lower triangles of [matrices, columns, columns], or empty for nothing but the others'.
  Status write(std::span<const float> squares);
  /// tokens: by place and matrix, or empty likewise.
  Status finish(const std::vector<std::vector<uint64_t>>& tokens);
  void discard() { writer_->discard(); }

 private:
  std::vector<HessianPlace> places_;
  std::vector<HessianFile> others_;
  Metadata metadata_;
  std::unique_ptr<CheckpointWriter> writer_;
  size_t next_ = 0;
  std::vector<float> triangle_, other_;
};

}  // namespace carat
