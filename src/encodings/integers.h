// INT2, INT3, INT4, INT8 and their _ASYM forms: integers under one f16 scale per group, without or with a
// zero point.
//   f16 scale[groups]
//   u8 zero[groups]      _ASYM only: 0 to 2^bits - 1
//   codes, for each 32 columns:
//     INT2   u8 [8]    bits 2f, 2f + 1 of byte j: column 8f + j        (f < 4)
//     INT3   u8 [8]    as INT2, the lower two bits; u8 [4]: bit s of byte k: the third bit of column 4s + k
//     INT4   u8 [16]   low nibble of byte j: column j; high nibble: column j + 16
//     INT8   u8 [32]   with the highest bit flipped: a symmetric code is its level as i8
// Values, each one float32 product:
//   symmetric    scale * (q - 2^(bits - 1))      levels -2^(bits - 1) to 2^(bits - 1) - 1; scales have any
//   sign _ASYM        scale * (q - zero)
// These are the grids of GPTQ, AWQ and compressed-tensors (whose GPTQ "v1" files store zero - 1).
#pragma once

#include "encodings/grouped.h"

namespace carat {

template <int kBitsOfCode, bool kHasZeroPoint>
struct Integers : GroupedFacts {
  static constexpr Grouping kGrouping = Grouping::any;
  static constexpr int kBits = kBitsOfCode, kCodes = 1 << kBits;
  static constexpr bool kZeroPoint = kHasZeroPoint;
  static constexpr Offset kOffset = kZeroPoint ? Offset::zero_point : Offset::none;
  static constexpr uint32_t kGroupBytes = kZeroPoint ? 3 : 2, kSpanBytes = 0;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return kZeroPoint ? code : code - kCodes / 2; }
  CARAT_ENCODING_INLINE float value(int code, float scale, float zero) {
    return scale * (static_cast<float>(level(code)) - zero);
  }

  struct Block {
    uint8_t bytes[4 * kBits];
  };

  CARAT_ENCODING_INLINE void unpack(const Block& b, uint8_t* code) {
    if constexpr (kBits == 8) {
      for (int j = 0; j < 32; ++j) code[j] = b.bytes[j] ^ 0x80;
    } else {
      constexpr int kField = kBits == 3 ? 2 : kBits, kRun = 4 * kField;
      std::memset(code, 0, 32);
      for (int f = 0; f < 8 / kField; ++f)
        take_bits(b.bytes, kField * f, (1 << kField) - 1, 0, code + kRun * f, kRun);
      if constexpr (kBits == 3)
        for (int s = 0; s < 8; ++s) take_bits(b.bytes + 8, s, 1, 2, code + 4 * s, 4);
    }
  }

  CARAT_ENCODING_INLINE void pack(const uint8_t* code, Block& b) {
    if constexpr (kBits == 8) {
      for (int j = 0; j < 32; ++j) b.bytes[j] = code[j] ^ 0x80;
    } else {
      constexpr int kField = kBits == 3 ? 2 : kBits, kRun = 4 * kField;
      b = {};
      for (int f = 0; f < 8 / kField; ++f)
        put_bits(code + kRun * f, kField * f, (1 << kField) - 1, 0, b.bytes, kRun);
      if constexpr (kBits == 3)
        for (int s = 0; s < 8; ++s) put_bits(code + 4 * s, s, 1, 2, b.bytes + 8, 4);
    }
  }

  /// Of groups [first, first + n). `zero` is 0 for symmetric kinds.
  CARAT_ENCODING_INLINE void read_parameters(const uint8_t* row, int64_t groups, int64_t first, int64_t n,
                                             float* scale, float* zero) {
    for (int64_t i = 0; i < n; ++i) {
      uint16_t bits;
      std::memcpy(&bits, row + 2 * (first + i), 2);
      scale[i] = f16_to_float(bits);
      zero[i] = kZeroPoint ? static_cast<float>(row[2 * groups + first + i]) : 0.0f;
    }
  }
  /// Of all groups; scales that f16 holds, zeros that are codes.
  CARAT_ENCODING_INLINE void write_parameters(const float* scale, const float* zero, int64_t groups,
                                              uint8_t* row) {
    for (int64_t i = 0; i < groups; ++i) {
      const uint16_t bits = float_to_f16(scale[i]);
      std::memcpy(row + 2 * i, &bits, 2);
      if constexpr (kZeroPoint) row[2 * groups + i] = static_cast<uint8_t>(zero[i]);
    }
  }
};

struct INT2 : Integers<2, false> {
  static constexpr std::string_view kName = "INT2";
  static constexpr uint32_t kNumber = 1;
};
struct INT3 : Integers<3, false> {
  static constexpr std::string_view kName = "INT3";
  static constexpr uint32_t kNumber = 2;
};
struct INT4 : Integers<4, false> {
  static constexpr std::string_view kName = "INT4";
  static constexpr uint32_t kNumber = 3;
};
struct INT8 : Integers<8, false> {
  static constexpr std::string_view kName = "INT8";
  static constexpr uint32_t kNumber = 4;
};
struct INT2_ASYM : Integers<2, true> {
  static constexpr std::string_view kName = "INT2_ASYM";
  static constexpr uint32_t kNumber = 5;
};
struct INT3_ASYM : Integers<3, true> {
  static constexpr std::string_view kName = "INT3_ASYM";
  static constexpr uint32_t kNumber = 6;
};
struct INT4_ASYM : Integers<4, true> {
  static constexpr std::string_view kName = "INT4_ASYM";
  static constexpr uint32_t kNumber = 7;
};
struct INT8_ASYM : Integers<8, true> {
  static constexpr std::string_view kName = "INT8_ASYM";
  static constexpr uint32_t kNumber = 8;
};

}  // namespace carat
