// What a matrix reads, kept in bf16 from when its Hessian is measured until its rounded weights are applied:
// the input of a feed-forward's last matrix takes two thirds of the feed-forward to compute again. Where the
// model computes in bf16, the product would round it in the same way, so that nothing changes.
#pragma once

#include <cstring>
#include <vector>

#include "base/context.h"
#include "base/half.h"

namespace carat {

class KeptRows {
 public:
  /// More than this is computed again.
  static constexpr int64_t kMostBytes = int64_t{2} << 30;

  /// Whether [rows, columns] of `what` may be kept; forgets what was.
  bool begin(int64_t what, int64_t rows, int64_t columns) {
    forget();
    if (rows * columns * 2 > kMostBytes) return false;
    columns_ = columns;
    values_.resize(static_cast<size_t>(rows * columns));
    what_ = what;
    return true;
  }
  void forget() { what_ = -1; }
  bool has(int64_t what) const { return what >= 0 && what_ == what; }

  void put(ThreadPool& pool, int64_t first, int64_t rows, const float* x) {
    uint16_t* to = values_.data() + first * columns_;
    pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin * columns_; i < end * columns_; ++i) to[i] = float_to_bf16(x[i]);
    });
  }
  void get(ThreadPool& pool, int64_t first, int64_t rows, float* out) const {
    const uint16_t* from = values_.data() + first * columns_;
    pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin * columns_; i < end * columns_; ++i) out[i] = bf16_to_float(from[i]);
    });
  }

 private:
  int64_t what_ = -1, columns_ = 0;
  std::vector<uint16_t> values_;
};

}  // namespace carat
