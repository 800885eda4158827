#include "kernels/kernels.h"

#include <algorithm>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"

namespace carat {
namespace {

/// Rows of activations that a thread rounds at a time: about 32 KB, which takes a few microseconds.
int64_t rounding_grain(int64_t columns) {
  return std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(1, columns));
}

template <int kGroup>
RoundedActivations round_all(const KernelTable& k, ThreadPool& pool, const float* x, int64_t x_stride,
                             int64_t tokens, int64_t columns) {
  const int64_t blocks = columns / 32;
  const int64_t sum_stride = 2 * blocks + 16;
  int8_t* codes = scratch<int8_t, kGroup>(tokens * ceil_div(columns, kTileColumns) * kTileColumns);
  float* scales = scratch<float, kGroup>(tokens * blocks);
  int32_t* sums = scratch<int32_t, kGroup>(2 * tokens * sum_stride);
  int32_t* sums32 = sums + tokens * sum_stride;
  pool.parallel_for(tokens, rounding_grain(columns), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      k.round_activations(x + t * x_stride, columns, kGroup, codes + t * kTileColumns, tokens * kTileColumns,
                          scales + t * blocks, sums + t * sum_stride, sums32 + t * sum_stride);
  });
  return {tokens, columns, kGroup, codes, scales, sums, sums32, sum_stride};
}

FloatActivations round_trip_all(const KernelTable& k, ThreadPool& pool, const float* x, int64_t x_stride,
                                int64_t tokens, int64_t columns, int64_t group) {
  float* kept = scratch<float, 1>(tokens * columns);
  pool.parallel_for(tokens, rounding_grain(columns), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) k.round_trip(x + t * x_stride, columns, group, kept + t * columns);
  });
  return {tokens, kept, columns};
}

size_t position(const Encoding& e) {
  const auto all = all_encodings();
  return static_cast<size_t>(std::ranges::find(all, &e) - all.begin());
}

/// One target, with the functions chosen for it.
struct Product {
  const MatmulTarget* target;
  QuantizedProduct quantized;  // null: floats
  int64_t group;               // columns that are rounded together
  FloatProduct exact;
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
  avx2::add_attention(t);
  avx2::add_block32_products(t);
  avx2::add_block256_products(t);
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
  if (isa == Isa::avx_vnni) {
    static const KernelTable table = [] {
      KernelTable t = with_avx2(portable_table());
      t.isa = Isa::avx_vnni;
      avx_vnni::add_peaks(t);
      avx_vnni::add_block32_products(t);
      avx_vnni::add_block256_products(t);
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
      avx512::add_attention(t);
      avx512::add_block32_products(t);
      avx512::add_block256_products(t);
      return t;
    }();
    return &table;
  }
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
    case ActivationScheme::float32:
      return "float32";
    case ActivationScheme::int8_32_everywhere:
      return "int8_32_everywhere";
    case ActivationScheme::int8_256_everywhere:
      return "int8_256_everywhere";
  }
  return "";
}

void matmul(const KernelTable& k, ThreadPool& pool, ActivationScheme scheme,
            std::span<const MatmulTarget> targets, const float* x, int64_t x_stride, int64_t tokens) {
  if (targets.empty() || tokens <= 0) return;
  const int64_t columns = targets.front().weight.columns;

  thread_local std::vector<Product> products;
  products.clear();
  int64_t panels = 0;
  bool any_32 = false, any_256 = false, any_float = false;
  for (const MatmulTarget& target : targets) {
    const size_t i = position(*target.weight.encoding);
    const bool rounded = scheme != ActivationScheme::float32 && k.quantized[i] != nullptr;
    const int64_t group =
        scheme == ActivationScheme::int8_block ? std::max(32, target.weight.encoding->block) : int64_t{32};
    any_32 |= rounded && group == 32;
    any_256 |= rounded && group == 256;
    any_float |= !rounded;
    products.push_back({&target, rounded ? k.quantized[i] : nullptr, group, k.exact[i], panels});
    panels += ceil_div(target.weight.rows, kPanelRows);
  }
  if (panels == 0) return;

  RoundedActivations rounded_32, rounded_256;
  FloatActivations floats{tokens, x, x_stride};
  if (any_32) rounded_32 = round_all<32>(k, pool, x, x_stride, tokens, columns);
  if (any_256) rounded_256 = round_all<256>(k, pool, x, x_stride, tokens, columns);
  if (any_float && scheme == ActivationScheme::int8_32_everywhere)
    floats = round_trip_all(k, pool, x, x_stride, tokens, columns, 32);
  if (any_float && scheme == ActivationScheme::int8_256_everywhere)
    floats = round_trip_all(k, pool, x, x_stride, tokens, columns, 256);

  const std::span<const Product> all = products;  // the pool's threads have their own thread_local
  const auto run = [&](int64_t begin, int64_t end, int) {
    size_t p = 0;
    for (int64_t panel = begin; panel < end; ++panel) {
      while (p + 1 < all.size() && all[p + 1].first_panel <= panel) ++p;
      const WeightView& w = all[p].target->weight;
      const int64_t row = (panel - all[p].first_panel) * kPanelRows;
      const uint8_t* data = w.data + static_cast<uint64_t>(row) * w.row_bytes;
      const bool another = row + 2 * kPanelRows <= w.rows;
      const WeightRows rows{w.encoding,
                            data,
                            static_cast<int64_t>(w.row_bytes),
                            static_cast<int>(std::min<int64_t>(kPanelRows, w.rows - row)),
                            w.columns,
                            another ? data + kPanelRows * w.row_bytes : data};
      float* y = all[p].target->y + row;
      if (all[p].quantized)
        all[p].quantized(rows, all[p].group == 32 ? rounded_32 : rounded_256, y, all[p].target->y_stride);
      else
        all[p].exact(rows, floats, y, all[p].target->y_stride);
    }
  };
  const uint64_t panel_bytes = kPanelRows * targets.front().weight.row_bytes;
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

void silu_mul(const KernelTable& k, float* gate, const float* up, int64_t n) { k.silu_mul(gate, up, n); }

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
