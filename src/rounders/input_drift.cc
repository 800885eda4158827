#include "rounders/input_drift.h"

#include <atomic>

#include "kernels/kernel_table.h"
#include "rounders/block_rows.h"
#include "rounders/feedback_solve.h"

namespace carat {

Result<std::vector<float>> weights_for_drift(const Context& context, const KernelTable& kernels,
                                             const FeedbackFactor& factor, const InputDrift& drift,
                                             const SourceRows& source) {
  const int64_t n = source.columns, rows = source.rows;
  if (static_cast<int64_t>(drift.moments.size()) != n * n || factor.columns != n)
    return error(Code::internal, "a drift of {} numbers and a factor of {} columns for {} columns",
                 drift.moments.size(), factor.columns, n);
  std::vector<float> weights(static_cast<size_t>(rows * n)), step(weights.size());
  decode_rows(context.pool, search_table(kernels.isa), *source.encoding, source.bytes, rows, n,
              weights.data());
  const WeightView moments{&encoding_f32(), reinterpret_cast<const uint8_t*>(drift.moments.data()), n, n,
                           static_cast<uint64_t>(n) * sizeof(float)};
  const MatmulTarget target{moments, step.data(), n};
  matmul(kernels, context.pool, ActivationScheme::float32, {&target, 1}, weights.data(), n, rows);
  CARAT_DO(solve_feedback(context, kernels, factor, step));
  const auto share = static_cast<float>(drift.share);
  std::atomic<bool> finite = true;
  context.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    float sum = 0;  // times 0: NaN where any is not finite
    for (int64_t i = begin * n; i < end * n; ++i) sum += 0 * (weights[i] += share * step[i]);
    if (sum != 0) finite = false;
  });
  if (!finite)
    return bad_data(
        "making up for what the inputs have lost gives weights that are not finite; raise --damp, or "
        "leave out --propagate");
  return weights;
}

}  // namespace carat
