// What the tests of this folder share.
#pragma once

#include <bit>
#include <cstdint>
#include <random>
#include <vector>

#include "encodings/codebook_testing.h"
#include "kernels/kernel_table.h"

namespace carat {

/// A table to test AVX-VNNI with on processors that have its operations otherwise, or null
/// (avx_vnni/twin_test.cc). Like the next one, not there in builds without these kernels.
const KernelTable* avx_vnni_twin();
/// AVX-512's table as it is on processors without vdpbf16ps and VBMI, or null (avx512/bf16_twin_test.cc).
const KernelTable* avx512_without_extensions();

inline std::vector<const KernelTable*> all_tables() {
  std::vector<const KernelTable*> tables;
#if !defined(CARAT_NARROW)
  if (const KernelTable* twin = avx_vnni_twin()) tables.push_back(twin);
  if (const KernelTable* twin = avx512_without_extensions()) tables.push_back(twin);
#endif
  for (Isa isa : available_isas())
    if (const KernelTable* t = kernel_table(isa)) tables.push_back(t);
  return tables;
}

inline std::vector<float> random_floats(size_t n, uint64_t seed, float deviation = 1.0f) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(engine);
  return x;
}

/// Rows of random weights. Codes and small parameters are uniform over all they can be, f16 parameters
/// moderate.
template <class E>
std::vector<uint8_t> random_weights(int64_t rows, int64_t columns, uint64_t seed) {
  using Block = typename E::Block;
  std::mt19937_64 engine(seed);
  const auto below = [&](int n) { return static_cast<int>(engine() % static_cast<uint64_t>(n)); };
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * columns / E::kBlock) * sizeof(Block));
  if constexpr (E::kFloat) {
    const auto values = random_floats(static_cast<size_t>(rows * columns), seed);
    for (size_t i = 0; i < values.size(); ++i) {
      if constexpr (sizeof(Block) == 4) {
        std::memcpy(&bytes[4 * i], &values[i], 4);
      } else {
        const uint16_t bits = E::kName == "F16" ? float_to_f16(values[i]) : float_to_bf16(values[i]);
        std::memcpy(&bytes[2 * i], &bits, 2);
      }
    }
  } else {
    for (size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
      typename E::Planes p;
      const auto parameter = [&] { return float_to_f16(static_cast<float>(below(2001) - 1000) * 1e-4f); };
      p.d = parameter();
      if constexpr (E::kOffset != Offset::none) p.m = parameter();
      if constexpr (E::kAtom > 1) {
        randomise_atoms<E>(p, below);
      } else {
        for (auto& s : p.scale) {
          if constexpr (E::kTwoLevel)
            s = static_cast<int8_t>(E::kScaleLow + below(E::kScaleHigh - E::kScaleLow + 1));
        }
        for (auto& t : p.min) {
          if constexpr (E::kOffset == Offset::subtracted) t = static_cast<uint8_t>(below(E::kMinHigh + 1));
        }
        for (auto& o : p.own) o = static_cast<uint8_t>((E::kLeaves == 1 ? 100 : 1) + below(40));
        for (auto& c : p.code) c = static_cast<uint8_t>(below(E::kCodes));
      }
      E::pack(p, *reinterpret_cast<Block*>(&bytes[at]));
    }
  }
  return bytes;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace carat
