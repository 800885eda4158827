// Orthogonal mixing of many channels, fast: what rotations of a model are made of.
//
//   R = diag(signs) * (Q (x) H) / sqrt(2^k)       n = m * 2^k, m odd
//
// H is the Hadamard matrix of 2^k, Q an orthogonal matrix of m (drawn at random; 1 where m is 1). Every
// output is a sum of all n inputs with weights of about one size, so that no channel stands out any more.
#pragma once

#include <cstdint>
#include <vector>

#include "containers/checkpoint.h"

namespace carat {

class Rotation {
 public:
  Rotation(int64_t n, uint64_t seed);

  int64_t size() const { return n_; }
  /// x R for `lanes` vectors side by side: x is [size, lanes].
  void apply(double* x, int64_t lanes) const;

 private:
  int64_t n_, odd_, power_;
  std::vector<double> signs_;  ///< [n], over sqrt(2^k)
  std::vector<double> q_;      ///< [odd, odd]
};

/// Each row of the matrix or vector, in runs of rotation.size() columns, times R; columns are multiplied by
/// `gain` before, where there is one. Lazy, F32.
Tensor with_rotated_columns(const Tensor& tensor, std::shared_ptr<const Rotation> rotation,
                            std::vector<double> gain = {});

/// Each column, in runs of rotation.size() rows, times R. Lazy, F32; from the first row read until the last
/// is released, the whole tensor is in memory, since every row is made of all rows of its run.
Tensor with_rotated_rows(const Tensor& tensor, std::shared_ptr<const Rotation> rotation);

}  // namespace carat
