// The outlier split of LLM.int8() (Dettmers et al., 2022): activations of large magnitude are taken out
// before the rest is rounded, and meet decoded weights as they are.
//
// The paper takes out whole columns, those in which any token of the batch reaches the threshold. Here each
// token has its own, so that no result depends on what else is in the batch. Its threshold of 6.0 was found
// on states of about unit variance; where a token's are smaller, six times their root mean square is taken.
// On a model of 135 million weights that leaves a quarter of the divergence (docs/methods.md), as what
// feed-forwards hand to their last matrix is small and has long tails.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "encodings/encoding.h"
#include "kernels/kernel_table.h"

namespace carat {

/// Magnitudes from here on are outliers in any token.
inline constexpr float kOutlier = 6.0f;
/// From where on they are in this one: at most kOutlier, and kOutlier times the root mean square of what is
/// below it.
float outlier_threshold(const float* x, int64_t columns);

/// Activations without their outliers, and these apart. Belongs to a thread that multiplies; valid until its
/// next split.
struct OutlierSplit {
  FloatActivations rest;         ///< with 0 where an outlier was
  std::vector<int64_t> begin;    ///< [tokens + 1]: where a token's outliers begin
  std::vector<int32_t> place;    ///< of an outlier, in `columns`
  std::vector<float> value;      ///< of an outlier
  std::vector<int64_t> columns;  ///< that have outliers, ascending
  bool any() const { return !value.empty(); }
};

const OutlierSplit& split_outliers(ThreadPool& pool, const float* x, int64_t x_stride, int64_t tokens,
                                   int64_t columns);

/// Puts them back.
void restore_outliers(const OutlierSplit& split, float* x, int64_t x_stride);

/// y[t * y_stride + r] += the sum over token t's outliers, in column order, of weight * value; each product
/// and each sum rounded.
void add_outlier_products(const OutlierSplit& split, const WeightRows& weights, float* y, int64_t y_stride);

}  // namespace carat
