#include "cli/scan.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

namespace carat {
namespace {

constexpr int64_t kPiece = 1 << 16;  ///< values decoded at a time, roughly

struct Extremes {
  float min = INFINITY, max = -INFINITY;
  uint64_t not_finite = 0;

  void add(const float* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      if (std::isfinite(x[i])) {
        min = std::min(min, x[i]);
        max = std::max(max, x[i]);
      } else {
        ++not_finite;
      }
    }
  }
  void add(const Extremes& o) {
    min = std::min(min, o.min);
    max = std::max(max, o.max);
    not_finite += o.not_finite;
  }
};

}  // namespace

Result<std::optional<ValueRange>> scan_values(const Context& context, const Tensor& tensor) {
  if (!tensor.encoding->can_decode()) return std::optional<ValueRange>();
  const Encoding& e = *tensor.encoding;
  // Mapped tensors are one run of blocks, cut anywhere between blocks: a single row may be as long as the
  // file. Others (rows permuted on the way, say, or whose rows have parameters of their own) come by rows.
  const Bytes mapped = tensor.data->mapped();
  const bool by_blocks = !mapped.empty() && !e.is_grouped();
  const int64_t unit = by_blocks ? e.block : std::max<int64_t>(1, tensor.columns());
  const int64_t units = by_blocks ? tensor.elements() / e.block : tensor.rows();
  const int64_t grain = std::max<int64_t>(1, kPiece / unit);

  std::mutex mutex;
  Extremes all;
  Status failed;
  context.pool.parallel_for(ceil_div(units, grain), 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> values(static_cast<size_t>(std::min(units, grain) * unit));
    for (int64_t piece = begin; piece < end && !context.cancellation.requested(); ++piece) {
      const int64_t first = piece * grain, count = std::min(grain, units - first);
      Status status;
      if (by_blocks)
        e.decode(mapped.data() + first * e.block_bytes, values.data(), count * unit);
      else
        status = tensor.read_rows(first, count, values.data());
      Extremes x;
      if (status.ok()) x.add(values.data(), count * unit);
      std::lock_guard lock(mutex);
      if (!status.ok() && failed.ok()) failed = std::move(status);
      all.add(x);
    }
  });
  tensor.data->release(0, tensor.rows());
  CARAT_DO(context.check());
  CARAT_DO(std::move(failed));
  ValueRange range{all.min, all.max, all.not_finite};
  if (all.min > all.max) range.min = range.max = 0;
  return std::optional(range);
}

}  // namespace carat
