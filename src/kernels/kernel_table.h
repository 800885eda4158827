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
/// Columns that are unpacked at a time.
inline constexpr int64_t kTileColumns = 256;

/// Up to kPanelRows rows of a weight matrix.
struct WeightRows {
  const Encoding* encoding = nullptr;
  const uint8_t* data = nullptr;
  int64_t row_bytes = 0;
  int rows = 0;
  int64_t columns = 0;
  /// The panel that follows in memory, most likely this thread's next, which is asked for meanwhile; `data`
  /// if there is none.
  const uint8_t* next = nullptr;
  GroupShape groups = {};  ///< of grouped encodings
};

/// Activations rounded to int8 (docs/numerics.md); scales are repeated for every 32 columns of a group.
/// columns is a multiple of 32.
struct RoundedActivations {
  int64_t tokens = 0, columns = 0, group = 0;
  /// [ceil(columns / kTileColumns), tokens, kTileColumns]: the tokens that meet a tile of weights lie side by
  /// side. As rows of their own, they would share a few sets of the first-level cache whenever columns are a
  /// multiple of 2,048.
  const int8_t* codes = nullptr;
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

/// Rows of one call of a product of bf16 pairs (WeightRows has up to so many), columns that are packed
/// together, and tokens whose sums are kept at a time.
inline constexpr int64_t kBf16Rows = 64, kBf16Columns = 256, kBf16Tokens = 512;

/// A matrix [rows, columns] of bf16: panels of sixteen rows, [tile of kBf16Columns columns, panel, pair of
/// columns, row], the even column of a pair in the lower half. Rows and columns that fill up a panel or a
/// pair are zeros.
struct Bf16Panels {
  static constexpr int64_t kPairs = kBf16Columns / 2;
  int64_t rows = 0, columns = 0;
  int32_t* pairs = nullptr;  ///< aligned to 64 bytes

  int64_t panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  int64_t size() const {
    return (columns + kBf16Columns - 1) / kBf16Columns * panels() * kPairs * kPanelRows;
  }
  int32_t* panel(int64_t tile, int64_t i) const {
    return pairs + (tile * panels() + i) * kPairs * kPanelRows;
  }
};

/// y[t * y_stride + r] for all tokens t and r < w.rows.
using QuantizedProduct = void (*)(const WeightRows& w, const RoundedActivations& a, float* y,
                                  int64_t y_stride);
using FloatProduct = void (*)(const WeightRows& w, const FloatActivations& a, float* y, int64_t y_stride);
using Bf16Product = void (*)(const WeightRows& w, const Bf16Panels& x, float* y, int64_t y_stride);

/// Positions of the cache whose scores share a maximum; spans begin at multiples of it.
inline constexpr int64_t kAttentionSpan = 512;
static_assert(kAttentionSpan % kKvChunk == 0);

/// What rows of queries gather over some positions: sum of weighted values, sum of weights, largest score.
struct AttentionPart {
  float* out;      ///< [rows, channels]
  float* sum;      ///< [rows]
  float* maximum;  ///< [rows]

  static constexpr int64_t floats(int64_t rows, int64_t channels) {
    return rows * channels + (2 * rows + 15) / 16 * 16;
  }
  AttentionPart(float* memory, int64_t rows, int64_t channels)
      : out(memory), sum(memory + rows * channels), maximum(sum + rows) {}
};

/// One key-value head's share of attention, for tokens [token_begin, token_end).
struct AttentionItem {
  const AttentionArgs* args = nullptr;
  int kv_head = 0;
  int64_t token_begin = 0, token_end = 0;
  float* scratch = nullptr;  ///< attention_scratch(...) floats, aligned to 64 bytes
  /// Where set, only the positions of one span count, and the AttentionPart goes here instead of args->out.
  float* part = nullptr;
  int64_t span = 0;

  int64_t rows() const { return (token_end - token_begin) * args->group(); }
};

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

  /// By Encoding::kind; null for float encodings, and for others whose levels are no integers.
  QuantizedProduct quantized[kKinds] = {};
  /// By Encoding::kind; weights are decoded exactly, whatever their encoding.
  FloatProduct exact[kKinds] = {};
  /// By Encoding::kind; decoded weights are rounded to bf16.
  Bf16Product bf16[kKinds] = {};
  /// The same with rows [row, row + rows) of `a`, at most kBf16Rows, and tokens [first, first + count) of x,
  /// y[0] being that of token `first`; row and first are multiples of kPanelRows.
  void (*bf16_panels)(const Bf16Panels& a, int64_t row, int64_t rows, const Bf16Panels& x, int64_t first,
                      int64_t count, float* y, int64_t y_stride) = nullptr;
  /// Panel `panel` of x [rows, stride], or of its transpose, x being [columns, stride].
  void (*pack_bf16_rows)(const float* x, int64_t stride, int64_t panel, const Bf16Panels& to) = nullptr;
  void (*pack_bf16_columns)(const float* x, int64_t stride, int64_t panel, const Bf16Panels& to) = nullptr;

  /// One row of n = 32 i columns, rounded in groups of `group` columns (a multiple of 32); sums16 has n / 16,
  /// scales and sums32 n / 32 entries. Codes of kTileColumns columns lie together, the next at
  /// `tile_stride`.
  void (*round_activations)(const float* x, int64_t n, int64_t group, int8_t* codes, int64_t tile_stride,
                            float* scales, int32_t* sums16, int32_t* sums32) = nullptr;
  /// What round_activations keeps of one row, as floats; n need not be a multiple of the group.
  void (*round_trip)(const float* x, int64_t n, int64_t group, float* out) = nullptr;

  void (*rms_norm)(const float* x, const float* gain, float epsilon, int64_t n, float* out) = nullptr;
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float epsilon, int64_t n,
                     float* out) = nullptr;
  /// One head vector.
  void (*rope)(float* x, int rotary_dim, const float* cos, const float* sin, bool interleaved) = nullptr;
  void (*silu_mul)(float* gate, const float* up, int64_t n) = nullptr;
  void (*gelu_mul)(float* gate, const float* up, int64_t n) = nullptr;
  void (*gelu)(float* x, int64_t n) = nullptr;
  void (*softcap)(float* x, float cap, int64_t n) = nullptr;
  void (*add)(float* x, const float* y, int64_t n) = nullptr;
  LogSumExp (*log_sum_exp)(const float* x, int64_t n) = nullptr;
  double (*weighted_difference)(const float* x, const float* y, float top, float shift, int64_t n) = nullptr;
  // By KvEncoding.
  void (*attention[kKvEncodings])(const AttentionItem& item) = {};
  void (*append_kv[kKvEncodings])(const KvFormat& format, uint8_t* cache, int64_t position, int64_t tokens,
                                  const float* k, const float* v) = {};
  /// Merges the parts of `spans` spans from item.span on, which lie one after the other at item.part, into
  /// args->out.
  void (*finish_attention)(const AttentionItem& item, int64_t spans) = nullptr;
};

/// Floats that an AttentionItem's scratch needs: queries, scores, two parts.
constexpr int64_t attention_scratch(int64_t rows, int64_t channels) {
  return rows * (channels + 32 + kAttentionSpan) + 2 * AttentionPart::floats(rows, channels);
}

const KernelTable& portable_table();

// Each is defined in the file of the same purpose in kernels/<isa>, and fills in its part.
namespace avx2 {
void add_elementwise(KernelTable& table);
void add_peaks(KernelTable& table);
void add_float_products(KernelTable& table);
void add_bf16_products(KernelTable& table);
void add_attention(KernelTable& table);
void add_block32_products(KernelTable& table);
void add_block256_products(KernelTable& table);
void add_codebook_products(KernelTable& table);
void add_grouped_products(KernelTable& table);
}  // namespace avx2
namespace avx_vnni {
void add_peaks(KernelTable& table);
void add_block32_products(KernelTable& table);
void add_block256_products(KernelTable& table);
void add_codebook_products(KernelTable& table);
void add_grouped_products(KernelTable& table);
}  // namespace avx_vnni
namespace avx512 {
void add_elementwise(KernelTable& table);
void add_peaks(KernelTable& table);
void add_float_products(KernelTable& table);
void add_bf16_products(KernelTable& table);
void add_attention(KernelTable& table);
void add_block32_products(KernelTable& table);
void add_block256_products(KernelTable& table);
void add_codebook_products(KernelTable& table);
void add_grouped_products(KernelTable& table);
}  // namespace avx512

}  // namespace carat
