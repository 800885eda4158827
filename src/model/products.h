// Products of the forward pass: matmul(), and the factors that matrices may have.
#pragma once

#include <span>

#include "model/forward.h"

namespace carat {

/// As MatmulTarget.
struct Product {
  Matrix weight;
  float* y = nullptr;
  int64_t y_stride = 0;
};

/// matmul() in the model's activation scheme; then what a matrix gave is multiplied by its factor.
void multiply(ThreadPool& pool, const Model& model, std::span<const Product> products, const float* x,
              int64_t x_stride, int64_t tokens);

}  // namespace carat
