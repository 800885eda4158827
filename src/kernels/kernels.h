// The operations the forward pass is made of, each chosen once per call from the table of the instruction set
// in use (kernel_table.h), never inside loops.
//
// Numbers: weights in any encoding, activations and results in float32. How a product with quantized weights
// is rounded is the activation scheme (docs/numerics.md); the order of accumulation is the same for one row
// or many, for any number of threads and any batch, so that results do not depend on them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/cpu.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "encodings/encoding.h"
#include "kernels/kv_format.h"

namespace carat {

struct KernelTable;

/// The table for an instruction set; null if this build or this processor lacks it.
const KernelTable* kernel_table(Isa isa);
/// The table of chosen_isa().
Result<const KernelTable*> default_kernel_table();

/// How activations are rounded before they meet weights: int8 in [-127, 127] with one float scale per group
/// of columns or per token, or not at all.
enum class ActivationScheme {
  int8_block,  ///< groups as wide as the blocks of the weights' encoding, 32 or 256, which is how llama.cpp
               ///< rounds them, so that figures compare; float weights meet floats. The default
  int8_32,     ///< groups of 32 whatever the encoding: the smaller error; float weights meet floats
  bfloat16,    ///< to bf16, without scales, and decoded weights, too: calibration
  float32,     ///< never rounded (quantized weights are decoded): the oracle
  int8_token,  ///< one scale for all columns of a token, as W8A8 checkpoints are run; float weights meet
               ///< floats
  int8_token_outliers,    ///< the same without a token's outliers (outliers.h), which meet decoded
                          ///< weights as they are: LLM.int8()
  int8_32_everywhere,     ///< float weights, too, meet activations rounded in groups of 32: the floor of a KL
  int8_256_everywhere,    ///< the same with groups of 256
  int8_token_everywhere,  ///< and with tokens
  int8_token_outliers_everywhere  ///< and with tokens without their outliers
};

/// The scheme whose rounding float weights meet too: what the rounding of `scheme` alone costs a reference.
/// Of int8_block by the groups of the weights that it is compared with.
ActivationScheme everywhere(ActivationScheme scheme, bool wide_blocks);

/// "int8_block" and so on, as --activations takes them and reports name them.
std::string_view activation_scheme_name(ActivationScheme scheme);
/// The scheme of a name, or nothing.
std::optional<ActivationScheme> find_activation_scheme(std::string_view name);

/// What products with such weights are done on: the weights' codes, floats (rounded or not), or pairs of
/// bf16.
enum class Operands { codes, floats, bf16 };
constexpr Operands operands(const Encoding& weights, ActivationScheme scheme) {
  if (scheme == ActivationScheme::bfloat16) return Operands::bf16;
  return !weights.has_integers || scheme == ActivationScheme::float32 ? Operands::floats : Operands::codes;
}
/// The member of a Work or Profile::Cost that counts such operations.
template <class Cost>
double& counted(Operands operands, Cost& cost) {
  return operands == Operands::codes ? cost.int8 : operands == Operands::bf16 ? cost.bf16 : cost.f32;
}

/// Columns of activations that int8_block rounds together where they meet such weights.
inline int64_t activation_group(const Encoding& weights) {
  return weights.is_grouped() || weights.block < 256 ? 32 : weights.block;
}

/// A weight matrix in memory: rows x columns, row-major blocks of `encoding`.
struct WeightView {
  const Encoding* encoding = nullptr;
  const uint8_t* data = nullptr;
  int64_t rows = 0, columns = 0;
  uint64_t row_bytes = 0;
};

/// y[t * y_stride + r] = sum_k W[r, k] * x[t * x_stride + k] for t < tokens, r < W.rows. Several matrices
/// that read the same x (q/k/v, gate/up), all of as many columns, can be given at once, so that x is rounded
/// once. Columns are whole blocks of each encoding. y must not overlap x.
struct MatmulTarget {
  WeightView weight;
  float* y = nullptr;
  int64_t y_stride = 0;
};
void matmul(const KernelTable& k, ThreadPool& pool, ActivationScheme scheme,
            std::span<const MatmulTarget> targets, const float* x, int64_t x_stride, int64_t tokens);

/// out = x / sqrt(mean(x^2) + epsilon) * gain, for `rows` rows of n. out may be x.
void rms_norm(const KernelTable& k, const float* x, const float* gain, float epsilon, int64_t rows, int64_t n,
              float* out);

/// out = (x - mean(x)) / sqrt(variance(x) + epsilon) * gain + bias, for `rows` rows of n; bias may be null.
/// out may be x.
void layer_norm(const KernelTable& k, const float* x, const float* gain, const float* bias, float epsilon,
                int64_t rows, int64_t n, float* out);

/// Rotates head vectors in place: x is [tokens, heads, head_dim] with token stride x_stride. cos/sin are
/// [tokens, rotary_dim / 2] (already scaled for yarn). `interleaved`: pairs (0,1), (2,3)... (GGUF's llama);
/// else (i, i + rotary_dim / 2) (NeoX).
void rope(const KernelTable& k, float* x, int64_t x_stride, int64_t tokens, int heads, int head_dim,
          int rotary_dim, const float* cos, const float* sin, bool interleaved);

/// gate = silu(gate) * up
void silu_mul(const KernelTable& k, float* gate, const float* up, int64_t n);
/// gate = gelu(gate) * up, gelu(x) = x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))), its tanh form
void gelu_mul(const KernelTable& k, float* gate, const float* up, int64_t n);
/// x = gelu(x), the same form
void gelu(const KernelTable& k, float* x, int64_t n);
/// x = cap * tanh(x / cap); cap > 0
void softcap(const KernelTable& k, float* x, float cap, int64_t n);
/// x += y
void add(const KernelTable& k, float* x, const float* y, int64_t n);
/// x[r] += bias for each of `rows` rows of n
void add_bias(const KernelTable& k, float* x, const float* bias, int64_t rows, int64_t n);

/// Rounds keys and values, both [tokens, kv_heads, head_dim], to the cache's format (to nearest even) and
/// stores them at positions [position, position + tokens). cache has format.bytes(...) for them, aligned to
/// 64 bytes.
void append_kv(const KernelTable& k, const KvFormat& format, uint8_t* cache, int64_t position, int64_t tokens,
               const float* keys, const float* values);

/// Causal grouped-query attention of `tokens` new positions over a cache in fixed spans (no full score
/// matrix). q, out: [tokens, heads, head_dim].
/// Token t sees cache positions [first_visible(t), first_position + t]; window <= 0 means all. Scores are
/// scale * q . k, or cap * tanh(that / cap) where softcap is a cap.
struct AttentionArgs {
  const float* q = nullptr;
  float* out = nullptr;
  const uint8_t* cache = nullptr;
  KvFormat format;
  int64_t tokens = 0, first_position = 0;
  int heads = 0;
  float scale = 1.0f;
  int64_t window = 0;
  float softcap = 0;             ///< 0: none
  const float* sinks = nullptr;  ///< [heads] scores that take part in the softmax and bring no value; or null

  int group() const { return heads / format.kv_heads; }  ///< query heads that share a key-value head
  int64_t first_visible(int64_t token) const {
    const int64_t past = first_position + token + 1 - window;
    return window > 0 && past > 0 ? past : 0;
  }
};
/// Each of `calls` is computed as if alone; one or two jobs of the pool do the work of all.
void attention(const KernelTable& k, ThreadPool& pool, std::span<const AttentionArgs> calls);

/// log(sum(exp(x))) and the index of the largest x (the first, on a tie); n >= 1. Accumulates in double.
struct LogSumExp {
  double value = 0;
  int64_t argmax = 0;
};
LogSumExp log_sum_exp(const KernelTable& k, const float* x, int64_t n);

/// sum(exp(x - top) * ((x - y) - shift)): what a divergence of two distributions is made of. Terms are
/// floats, summed in double; top is the largest x.
double weighted_difference(const KernelTable& k, const float* x, const float* y, float top, float shift,
                           int64_t n);

}  // namespace carat
