// Hessians of what a layer's matrices read, summed up while text goes through it.
#pragma once

#include <vector>

#include "model/linear_input.h"
#include "rounders/hessian.h"
#include "stats/gram.h"

namespace carat {

/// Those of all inputs, one for each head where heads have their own; of single experts none
/// (expert_feedback.h).
class HessianTap final : public InputTap {
 public:
  HessianTap(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme, const ModelConfig& config)
      : pool_(pool), kernels_(kernels), scheme_(scheme), config_(config) {}

  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    if (per_expert(place.input)) return;
    std::vector<std::vector<float>>& of_input = hessians[static_cast<size_t>(place.input)];
    of_input.resize(static_cast<size_t>(input_matrices(config_, place.input)));
    std::vector<float>& h = of_input[static_cast<size_t>(place.matrix)];
    h.resize(static_cast<size_t>(columns * columns));
    accumulate_gram(pool_, kernels_, scheme_, x, tokens, columns, h.data());
  }

  /// By input and matrix, [columns, columns], lower triangles; empty where nothing was read.
  std::vector<std::vector<float>> hessians[static_cast<size_t>(LinearInput::output) + 1];

 private:
  ThreadPool& pool_;
  const KernelTable& kernels_;
  const ActivationScheme scheme_;
  const ModelConfig& config_;
};

inline std::vector<float> diagonal_of(const std::vector<float>& hessian, int64_t columns) {
  std::vector<float> out(static_cast<size_t>(columns));
  for (int64_t k = 0; k < columns; ++k)
    out[static_cast<size_t>(k)] = hessian[static_cast<size_t>(k * columns + k)];
  return out;
}

}  // namespace carat
