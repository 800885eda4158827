#include "model/products.h"

#include "model/rows.h"

namespace carat {

void multiply(ThreadPool& pool, const Model& model, std::span<const Product> products, const float* x,
              int64_t x_stride, int64_t tokens) {
  std::vector<MatmulTarget> targets;
  targets.reserve(products.size());
  for (const Product& p : products) targets.push_back({p.weight, p.y, p.y_stride});
  matmul(model.kernels, pool, model.scheme, targets, x, x_stride, tokens);
  for (const Product& p : products) {
    if (!p.weight.scale || *p.weight.scale == 1.0f) continue;
    const float scale = *p.weight.scale;
    over_tokens(pool, tokens, p.weight.rows, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t)
        for (int64_t r = 0; r < p.weight.rows; ++r) p.y[t * p.y_stride + r] *= scale;
    });
  }
}

}  // namespace carat
