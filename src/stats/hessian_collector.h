// Adds up Hessians of a layer's inputs while the model runs, and writes them when the layer is done.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "model/linear_input.h"
#include "stats/hessian_file.h"

namespace carat {

/// Expects layer after layer, all tokens through one before the next; holds those of one layer, 4 * columns^2
/// bytes for each of its inputs, experts and heads. What the writer has already (a resume) is counted only.
class HessianCollector final : public InputTap {
 public:
  HessianCollector(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme,
                   HessianWriter& writer);

  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override;

  /// Writes what has been added up since the last call. `beyond`: the first layer that is not done.
  Status leave(int64_t beyond);
  /// After all layers and the output.
  Status finish();

 private:
  ThreadPool& pool_;
  const KernelTable& kernels_;
  const ActivationScheme scheme_;
  HessianWriter& writer_;
  std::vector<std::vector<uint64_t>> tokens_;  ///< by place and matrix
  std::vector<std::vector<float>> squares_;    ///< by place, [matrices, columns, columns]; empty when written
};

}  // namespace carat
