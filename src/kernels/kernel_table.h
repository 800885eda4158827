// What an instruction set offers: one function per operation, and per encoding where products are concerned.
//
// kernels.cc splits work over threads, rounds activations and calls through this table once per panel of 16
// rows or per row, so that no inner loop dispatches. A table starts as a copy of the portable one and
// replaces what it has faster: an encoding without a fast path still works everywhere.
#pragma once

#include <cstdint>

#include "encodings/all.h"
#include "kernels/kernels.h"

namespace carat {

/// Output rows that a product computes side by side.
inline constexpr int kPanelRows = 16;

/// Up to kPanelRows rows of a weight matrix.
struct WeightRows {
  const Encoding* encoding = nullptr;
  const uint8_t* data = nullptr;
  int64_t row_bytes = 0;
  int rows = 0;
  int64_t columns = 0;
};

/// Activations rounded to int8 (docs/numerics.md); scales are repeated for every 32 columns of a group.
/// columns is a multiple of 32.
struct RoundedActivations {
  int64_t tokens = 0, columns = 0;
  const int8_t* codes = nullptr;    ///< [tokens, columns]
  const float* scales = nullptr;    ///< [tokens, columns / 32]
  const int32_t* sums16 = nullptr;  ///< [tokens, sum_stride]: sums of the codes of 16 columns each
  const int32_t* sums32 = nullptr;  ///< the same for 32 columns
  int64_t sum_stride = 0;           ///< leaves 16 readable entries after the last sum
};

struct FloatActivations {
  int64_t tokens = 0;
  const float* x = nullptr;  ///< [tokens, stride]
  int64_t stride = 0;
};

/// y[t * y_stride + r] for all tokens t and r < w.rows. The panel that follows w in memory may be prefetched.
using QuantizedProduct = void (*)(const WeightRows& w, const RoundedActivations& a, float* y,
                                  int64_t y_stride);
using FloatProduct = void (*)(const WeightRows& w, const FloatActivations& a, float* y, int64_t y_stride);

/// One key-value head's share of attention, for tokens [token_begin, token_end).
struct AttentionItem {
  const AttentionArgs* args = nullptr;
  int kv_head = 0;
  int64_t token_begin = 0, token_end = 0;
  float* scratch = nullptr;  ///< attention_scratch(...) floats, aligned to 64 bytes
};

/// Positions of the cache that attention takes at a time; chunks begin at multiples of it.
inline constexpr int64_t kAttentionChunk = 64;

/// Loops that do nothing but what a core is limited by (generic/peaks.h); for measuring, not for computing.
/// `sink` holds 32 floats that are read, and gets results nobody needs.
struct PeakLoops {
  /// Each does `rounds` rounds and returns how many operations that was, a multiply-add counted as two.
  double (*f32)(int64_t rounds, float* sink) = nullptr;
  double (*int8)(int64_t rounds, float* sink) = nullptr;
  double (*bf16)(int64_t rounds, float* sink) = nullptr;  ///< null where there is no such instruction
  /// Reads `bytes` (a multiple of 256) once.
  void (*read)(const uint8_t* p, int64_t bytes, float* sink) = nullptr;
};

struct KernelTable {
  Isa isa = Isa::portable;
  PeakLoops peaks;

  /// By position in AllEncodings; null for float encodings.
  QuantizedProduct quantized[AllEncodings::kCount] = {};
  /// By position in AllEncodings; weights are decoded exactly, whatever their encoding.
  FloatProduct exact[AllEncodings::kCount] = {};

  /// One row of n = 32 i columns, rounded in groups of `group` columns (a multiple of 32); sums16 has n / 16,
  /// scales and sums32 n / 32 entries.
  void (*round_activations)(const float* x, int64_t n, int64_t group, int8_t* codes, float* scales,
                            int32_t* sums16, int32_t* sums32) = nullptr;
  /// What round_activations keeps of one row, as floats; n need not be a multiple of the group.
  void (*round_trip)(const float* x, int64_t n, int64_t group, float* out) = nullptr;

  void (*rms_norm)(const float* x, const float* gain, float epsilon, int64_t n, float* out) = nullptr;
  /// One head vector.
  void (*rope)(float* x, int rotary_dim, const float* cos, const float* sin, bool interleaved) = nullptr;
  void (*silu_mul)(float* gate, const float* up, int64_t n) = nullptr;
  void (*add)(float* x, const float* y, int64_t n) = nullptr;
  void (*store_f16)(const float* x, int64_t n, uint16_t* out) = nullptr;
  LogSumExp (*log_sum_exp)(const float* x, int64_t n) = nullptr;
  void (*attention)(const AttentionItem& item) = nullptr;
};

/// Floats that an AttentionItem's scratch needs.
constexpr int64_t attention_scratch(int64_t tokens, int group, int head_dim) {
  const int64_t channels = (head_dim + 15) / 16 * 16;
  // keys, values, and one head's padded f16 rows; per query: the output, the sum of weights, the maximum
  return 2 * kAttentionChunk * channels + 8 * channels + tokens * group * (channels + 32);
}

const KernelTable& portable_table();

// Each is defined in the file of the same purpose in kernels/<isa>, and fills in its part.
namespace avx2 {
void add_elementwise(KernelTable& table);
void add_peaks(KernelTable& table);
void add_float_products(KernelTable& table);
void add_attention(KernelTable& table);
void add_block32_products(KernelTable& table);
void add_block256_products(KernelTable& table);
}  // namespace avx2
namespace avx512 {
void add_elementwise(KernelTable& table);
void add_peaks(KernelTable& table);
void add_float_products(KernelTable& table);
void add_attention(KernelTable& table);
void add_block32_products(KernelTable& table);
void add_block256_products(KernelTable& table);
}  // namespace avx512

}  // namespace carat
