#include "kernels/kernels.h"

#include <algorithm>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/outliers.h"
#include "kernels/scratch.h"

namespace carat {
namespace {

/// Rows of activations that a thread rounds at a time: about 32 KB, which takes a few microseconds.
int64_t rounding_grain(int64_t columns) {
  return std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(1, columns));
}

/// Different kTag have memory of their own.
template <int kTag>
RoundedActivations round_all(const KernelTable& k, ThreadPool& pool, const float* x, int64_t x_stride,
                             int64_t tokens, int64_t columns, int64_t group) {
  const int64_t blocks = columns / 32;
  const int64_t sum_stride = 2 * blocks + 16;
  int8_t* codes = scratch<int8_t, kTag>(tokens * ceil_div(columns, kTileColumns) * kTileColumns);
  float* scales = scratch<float, kTag>(tokens * blocks);
  int32_t* sums = scratch<int32_t, kTag>(2 * tokens * sum_stride);
  int32_t* sums32 = sums + tokens * sum_stride;
  pool.parallel_for(tokens, rounding_grain(columns), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      k.round_activations(x + t * x_stride, columns, group, codes + t * kTileColumns, tokens * kTileColumns,
                          scales + t * blocks, sums + t * sum_stride, sums32 + t * sum_stride);
  });
  return {tokens, columns, group, codes, scales, sums, sums32, sum_stride};
}

FloatActivations round_trip_all(const KernelTable& k, ThreadPool& pool, const float* x, int64_t x_stride,
                                int64_t tokens, int64_t columns, int64_t group, const OutlierSplit* split) {
  float* kept = scratch<float, 1>(tokens * columns);
  pool.parallel_for(tokens, rounding_grain(columns), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) k.round_trip(x + t * x_stride, columns, group, kept + t * columns);
  });
  if (split) restore_outliers(*split, kept, columns);
  return {tokens, kept, columns};
}

Bf16Panels pack_bf16(const KernelTable& k, ThreadPool& pool, const float* x, int64_t x_stride, int64_t tokens,
                     int64_t columns) {
  Bf16Panels packed{tokens, columns, nullptr};
  packed.pairs = scratch<int32_t, 2>(packed.size());
  pool.parallel_for(packed.panels(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) k.pack_bf16_rows(x, x_stride, p, packed);
  });
  return packed;
}

/// Columns that a scheme rounds together where activations meet these weights.
int64_t group_of(ActivationScheme scheme, const Encoding& weights, int64_t columns) {
  switch (scheme) {
    case ActivationScheme::int8_block:
      return activation_group(weights);
    case ActivationScheme::int8_token:
    case ActivationScheme::int8_token_outliers:
    case ActivationScheme::int8_token_everywhere:
    case ActivationScheme::int8_token_outliers_everywhere:
      return columns;
    case ActivationScheme::int8_256_everywhere:
    case ActivationScheme::int8_32:
    case ActivationScheme::bfloat16:
    case ActivationScheme::float32:
    case ActivationScheme::int8_32_everywhere:
      break;
  }
  return 32;
}

/// Columns that a scheme rounds together where they meet float weights; 0: it does not round them.
int64_t group_for_floats(ActivationScheme scheme, int64_t columns) {
  switch (scheme) {
    case ActivationScheme::int8_32_everywhere:
      return 32;
    case ActivationScheme::int8_256_everywhere:
      return 256;
    case ActivationScheme::int8_token_everywhere:
    case ActivationScheme::int8_token_outliers_everywhere:
      return columns;
    default:
      return 0;
  }
}

/// One target, with what chooses the function for it.
struct Product {
  const MatmulTarget* target;
  Operands operands;
  int64_t group;  // columns that are rounded together
  size_t kind;
  GroupShape groups;
  int64_t first_panel;  // of all targets' panels in one sequence
};

/// Panels that a thread claims at a time: with many tokens 8 per thread, so that uneven cores balance; with
/// few, where the memory is the limit, as many as take a few microseconds to read.
int64_t panel_grain(int64_t panels, uint64_t panel_bytes, int64_t tokens, int threads) {
  constexpr int64_t kFewTokens = 16;
  constexpr uint64_t kClaimBytes = 64 << 10;
  const int64_t balanced = std::max<int64_t>(1, panels / (8 * threads));
  if (tokens > kFewTokens) return balanced;
  return std::clamp<int64_t>(static_cast<int64_t>(kClaimBytes / std::max<uint64_t>(1, panel_bytes)), 1,
                             balanced);
}

#if defined(__x86_64__)
KernelTable with_avx2(KernelTable t) {
  t.isa = Isa::avx2;
  avx2::add_elementwise(t);
  avx2::add_peaks(t);
  avx2::add_float_products(t);
  avx2::add_bf16_products(t);
  avx2::add_attention(t);
  avx2::add_block32_products(t);
  avx2::add_block256_products(t);
  avx2::add_codebook_products(t);
  avx2::add_grouped_products(t);
  return t;
}
#endif

}  // namespace

const KernelTable* kernel_table(Isa isa) {
  const auto available = available_isas();
  if (std::ranges::find(available, isa) == available.end()) return nullptr;
  if (isa == Isa::portable) return &portable_table();
#if defined(__x86_64__)
  if (isa == Isa::avx2) {
    static const KernelTable table = with_avx2(portable_table());
    return &table;
  }
#if !defined(CARAT_NARROW)
  if (isa == Isa::avx_vnni) {
    static const KernelTable table = [] {
      KernelTable t = with_avx2(portable_table());
      t.isa = Isa::avx_vnni;
      avx_vnni::add_peaks(t);
      avx_vnni::add_block32_products(t);
      avx_vnni::add_block256_products(t);
      avx_vnni::add_codebook_products(t);
      avx_vnni::add_grouped_products(t);
      return t;
    }();
    return &table;
  }
  if (isa == Isa::avx512) {
    static const KernelTable table = [] {
      KernelTable t = portable_table();
      t.isa = Isa::avx512;
      avx512::add_elementwise(t);
      avx512::add_peaks(t);
      avx512::add_float_products(t);
      avx512::add_bf16_products(t);
      avx512::add_attention(t);
      avx512::add_block32_products(t);
      avx512::add_block256_products(t);
      avx512::add_codebook_products(t);
      avx512::add_grouped_products(t);
      return t;
    }();
    return &table;
  }
#endif
#endif
  return nullptr;
}

Result<const KernelTable*> default_kernel_table() {
  CARAT_TRY(const Isa isa, chosen_isa());
  if (const KernelTable* table = kernel_table(isa)) return table;
  return usage_error("this build of carat has no kernels for {}; choose another with CARAT_ISA",
                     isa_name(isa));
}

std::string_view activation_scheme_name(ActivationScheme scheme) {
  switch (scheme) {
    case ActivationScheme::int8_block:
      return "int8_block";
    case ActivationScheme::int8_32:
      return "int8_32";
    case ActivationScheme::bfloat16:
      return "bfloat16";
    case ActivationScheme::float32:
      return "float32";
    case ActivationScheme::int8_32_everywhere:
      return "int8_32_everywhere";
    case ActivationScheme::int8_256_everywhere:
      return "int8_256_everywhere";
    case ActivationScheme::int8_token:
      return "int8_token";
    case ActivationScheme::int8_token_outliers:
      return "int8_token_outliers";
    case ActivationScheme::int8_token_everywhere:
      return "int8_token_everywhere";
    case ActivationScheme::int8_token_outliers_everywhere:
      return "int8_token_outliers_everywhere";
  }
  return "";
}

std::optional<ActivationScheme> find_activation_scheme(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(ActivationScheme::int8_token_outliers_everywhere); ++i)
    if (const auto scheme = static_cast<ActivationScheme>(i); activation_scheme_name(scheme) == name)
      return scheme;
  return std::nullopt;
}

ActivationScheme everywhere(ActivationScheme scheme, bool wide_blocks) {
  switch (scheme) {
    case ActivationScheme::int8_token:
    case ActivationScheme::int8_token_everywhere:
      return ActivationScheme::int8_token_everywhere;
    case ActivationScheme::int8_token_outliers:
    case ActivationScheme::int8_token_outliers_everywhere:
      return ActivationScheme::int8_token_outliers_everywhere;
    case ActivationScheme::int8_256_everywhere:
      return scheme;
    case ActivationScheme::int8_block:
      return wide_blocks ? ActivationScheme::int8_256_everywhere : ActivationScheme::int8_32_everywhere;
    case ActivationScheme::int8_32:
    case ActivationScheme::bfloat16:
    case ActivationScheme::float32:
    case ActivationScheme::int8_32_everywhere:
      break;
  }
  return ActivationScheme::int8_32_everywhere;
}

void matmul(const KernelTable& k, ThreadPool& pool, ActivationScheme scheme,
            std::span<const MatmulTarget> targets, const float* x, int64_t x_stride, int64_t tokens) {
  if (targets.empty() || tokens <= 0) return;
  const int64_t columns = targets.front().weight.columns;

  // Panels are taller where bf16 is multiplied.
  const int64_t height = scheme == ActivationScheme::bfloat16 ? kBf16Rows : kPanelRows;
  thread_local std::vector<Product> products;
  products.clear();
  int64_t panels = 0;
  bool any_32 = false, any_wide = false, any_float = false;
  for (const MatmulTarget& target : targets) {
    const Encoding& e = *target.weight.encoding;
    const Operands on = operands(e, scheme);
    const int64_t group = group_of(scheme, e, columns);
    any_32 |= on == Operands::codes && group == 32;
    any_wide |= on == Operands::codes && group != 32;
    any_float |= on == Operands::floats;
    products.push_back(
        {&target, on, group, e.kind, e.is_grouped() ? group_shape(e, columns) : GroupShape{}, panels});
    panels += ceil_div(target.weight.rows, height);
  }
  if (panels == 0) return;

  Bf16Panels bf16;
  if (scheme == ActivationScheme::bfloat16) bf16 = pack_bf16(k, pool, x, x_stride, tokens, columns);
  const int64_t float_group = group_for_floats(scheme, columns);
  const bool splits = scheme == ActivationScheme::int8_token_outliers ||
                      scheme == ActivationScheme::int8_token_outliers_everywhere;
  const OutlierSplit* split = nullptr;
  FloatActivations floats{tokens, x, x_stride}, to_round = floats;
  if (splits && (any_32 || any_wide || (any_float && float_group > 0))) {
    split = &split_outliers(pool, x, x_stride, tokens, columns);
    to_round = split->rest;
  }
  RoundedActivations rounded_32, rounded_wide;  // in groups of 32; of 256, or of a token's columns
  if (any_32) rounded_32 = round_all<32>(k, pool, to_round.x, to_round.stride, tokens, columns, 32);
  if (any_wide) {
    const auto wide = std::ranges::find_if(
        products, [](const Product& p) { return p.operands == Operands::codes && p.group != 32; });
    rounded_wide = round_all<256>(k, pool, to_round.x, to_round.stride, tokens, columns, wide->group);
  }
  if (any_float && float_group > 0)
    floats = round_trip_all(k, pool, to_round.x, to_round.stride, tokens, columns, float_group, split);

  const std::span<const Product> all = products;  // the pool's threads have their own thread_local
  const auto run = [&](int64_t begin, int64_t end, int) {
    size_t p = 0;
    for (int64_t panel = begin; panel < end; ++panel) {
      while (p + 1 < all.size() && all[p + 1].first_panel <= panel) ++p;
      const WeightView& w = all[p].target->weight;
      const int64_t row = (panel - all[p].first_panel) * height;
      const uint8_t* data = w.data + static_cast<uint64_t>(row) * w.row_bytes;
      const bool another = row + 2 * height <= w.rows;
      const WeightRows rows{w.encoding,
                            data,
                            static_cast<int64_t>(w.row_bytes),
                            static_cast<int>(std::min<int64_t>(height, w.rows - row)),
                            w.columns,
                            another ? data + height * w.row_bytes : data,
                            all[p].groups};
      float* y = all[p].target->y + row;
      const int64_t y_stride = all[p].target->y_stride;
      switch (all[p].operands) {
        case Operands::codes:
          k.quantized[all[p].kind](rows, all[p].group == 32 ? rounded_32 : rounded_wide, y, y_stride);
          if (split && split->any()) add_outlier_products(*split, rows, y, y_stride);
          break;
        case Operands::floats:
          k.exact[all[p].kind](rows, floats, y, y_stride);
          break;
        case Operands::bf16:
          k.bf16[all[p].kind](rows, bf16, y, y_stride);
      }
    }
  };
  const uint64_t panel_bytes = height * targets.front().weight.row_bytes;
  pool.parallel_for(panels, panel_grain(panels, panel_bytes, tokens, pool.threads()), run);
}

void rms_norm(const KernelTable& k, const float* x, const float* gain, float epsilon, int64_t rows, int64_t n,
              float* out) {
  for (int64_t r = 0; r < rows; ++r) k.rms_norm(x + r * n, gain, epsilon, n, out + r * n);
}

void rope(const KernelTable& k, float* x, int64_t x_stride, int64_t tokens, int heads, int head_dim,
          int rotary_dim, const float* cos, const float* sin, bool interleaved) {
  const int64_t angles = rotary_dim / 2;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      k.rope(x + t * x_stride + h * head_dim, rotary_dim, cos + t * angles, sin + t * angles, interleaved);
}

void layer_norm(const KernelTable& k, const float* x, const float* gain, const float* bias, float epsilon,
                int64_t rows, int64_t n, float* out) {
  for (int64_t r = 0; r < rows; ++r) k.layer_norm(x + r * n, gain, bias, epsilon, n, out + r * n);
}

void silu_mul(const KernelTable& k, float* gate, const float* up, int64_t n) { k.silu_mul(gate, up, n); }
void gelu_mul(const KernelTable& k, float* gate, const float* up, int64_t n) { k.gelu_mul(gate, up, n); }
void gelu(const KernelTable& k, float* x, int64_t n) { k.gelu(x, n); }
void softcap(const KernelTable& k, float* x, float cap, int64_t n) { k.softcap(x, cap, n); }

void add(const KernelTable& k, float* x, const float* y, int64_t n) { k.add(x, y, n); }

void add_bias(const KernelTable& k, float* x, const float* bias, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) k.add(x + r * n, bias, n);
}

void append_kv(const KernelTable& k, const KvFormat& format, uint8_t* cache, int64_t position, int64_t tokens,
               const float* keys, const float* values) {
  k.append_kv[static_cast<size_t>(format.encoding)](format, cache, position, tokens, keys, values);
}

LogSumExp log_sum_exp(const KernelTable& k, const float* x, int64_t n) { return k.log_sum_exp(x, n); }

double weighted_difference(const KernelTable& k, const float* x, const float* y, float top, float shift,
                           int64_t n) {
  return k.weighted_difference(x, y, top, shift, n);
}

}  // namespace carat
