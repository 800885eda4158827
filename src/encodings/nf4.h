// NF4: 16 levels where a normal distribution has its quantiles (Dettmers et al., QLoRA, 2023, appendix E), 64
// columns under one scale, which is itself an 8-bit code ("double quantization").
//   for each 256 blocks of the row, or its rest: f32 mean, f32 range
//   u8 scale[columns / 64]
//   codes, for each 32 columns: u8 [16], low nibble of byte j: column j; high nibble: column j + 16
// Value: (kDynamicMap[scale] * range + mean) * kNf4Levels[q], each operation rounded to float32.
//
// bitsandbytes cuts the flattened tensor into blocks and has one mean for all of it. Here groups of 256
// blocks end with their row, and each has a mean of its own: 64 bits for up to 16,384 columns of a row,
// instead of 32 for 16,384 weights of the tensor (0.08 instead of 0.002 bits per weight where rows have 768
// columns).
#pragma once

#include <array>

#include "encodings/grouped.h"

namespace carat {

inline constexpr float kNf4Levels[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

/// The 8-bit map of bitsandbytes (create_dynamic_map: signed, 7 exponent bits), ascending: for each power of
/// ten from 1e-6 to 1 the middles of 1, 2, .. 64 equal parts of [0.1, 1], both signs; 0; and 1.
inline constexpr std::array<float, 256> kDynamicMap = [] {
  std::array<float, 256> map{};
  size_t n = 0;
  double power = 1e-6;
  map[127] = 0.0f;
  for (int i = 0; i < 7; ++i, power *= 10) {
    const int parts = 1 << i;
    for (int k = 0; k < parts; ++k, ++n) {
      const auto middle = static_cast<float>(power * (0.1 + 0.9 * (k + 0.5) / parts));
      map[128 + n] = middle;
      map[126 - n] = -middle;
    }
  }
  map[255] = 1.0f;
  return map;
}();

struct NF4 : GroupedFacts {
  static constexpr std::string_view kName = "NF4";
  static constexpr uint32_t kNumber = 17;
  static constexpr Grouping kGrouping = Grouping::fixed;
  static constexpr int kFixedGroup = 64;
  static constexpr int64_t kSpanGroups = 256;
  static constexpr int kCodes = 16;
  static constexpr bool kZeroPoint = false;
  static constexpr uint32_t kGroupBytes = 1, kSpanBytes = 8;

  CARAT_ENCODING_INLINE float value(int code, float scale, float) { return scale * kNf4Levels[code]; }

  struct Block {
    uint8_t qs[16];
  };
  CARAT_ENCODING_INLINE void unpack(const Block& b, uint8_t* code) {
    std::memset(code, 0, 32);
    take_bits(b.qs, 0, 15, 0, code, 16);
    take_bits(b.qs, 4, 15, 0, code + 16, 16);
  }
  CARAT_ENCODING_INLINE void pack(const uint8_t* code, Block& b) {
    b = {};
    put_bits(code, 0, 15, 0, b.qs, 16);
    put_bits(code + 16, 4, 15, 0, b.qs, 16);
  }

  CARAT_ENCODING_INLINE const uint8_t* scales_of(const uint8_t* row, int64_t groups) {
    return row + (groups + kSpanGroups - 1) / kSpanGroups * kSpanBytes;
  }
  CARAT_ENCODING_INLINE void read_parameters(const uint8_t* row, int64_t groups, int64_t first, int64_t n,
                                             float* scale, float* zero) {
    for (int64_t i = 0; i < n; ++i) {
      float mean_and_range[2];
      std::memcpy(mean_and_range, row + (first + i) / kSpanGroups * kSpanBytes, kSpanBytes);
      const float part = kDynamicMap[scales_of(row, groups)[first + i]] * mean_and_range[1];
      scale[i] = part + mean_and_range[0];
      zero[i] = 0;
    }
  }
  /// The nearest that can be stored.
  CARAT_ENCODING_INLINE void write_parameters(const float* scale, const float*, int64_t groups,
                                              uint8_t* row) {
    uint8_t* const codes = row + (groups + kSpanGroups - 1) / kSpanGroups * kSpanBytes;
    for (int64_t first = 0; first < groups; first += kSpanGroups) {
      const int64_t end = first + kSpanGroups < groups ? first + kSpanGroups : groups;
      double sum = 0;
      for (int64_t i = first; i < end; ++i) sum += static_cast<double>(scale[i]);
      const auto mean = static_cast<float>(sum / static_cast<double>(end - first));
      float range = 0;
      for (int64_t i = first; i < end; ++i) {
        const float off = scale[i] > mean ? scale[i] - mean : mean - scale[i];
        range = off > range ? off : range;
      }
      const float mean_and_range[2] = {mean, range};
      std::memcpy(row + first / kSpanGroups * kSpanBytes, mean_and_range, kSpanBytes);
      for (int64_t i = first; i < end; ++i)
        codes[i] = dynamic_code(range > 0 ? (scale[i] - mean) / range : 0.0f);
    }
  }

 private:
  CARAT_ENCODING_INLINE uint8_t dynamic_code(float x) {
    int low = 0, high = 255;  // the nearest is among them
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (kDynamicMap[static_cast<size_t>(middle)] <= x ? low : high) = middle;
    }
    const float above = kDynamicMap[static_cast<size_t>(high)] - x,
                below = x - kDynamicMap[static_cast<size_t>(low)];
    return static_cast<uint8_t>(above < below ? high : low);
  }
};

}  // namespace carat
