// Sixteen lanes as plain loops: what the other instruction sets must agree with, bit for bit.
//
// Every instruction set offers the same sixteen lanes (one 512-bit register, two of 256, or arrays), the same
// operations and the same order in sums over lanes, so that one algorithm gives one result everywhere.
// Names follow Highway where it has the operation (MulAdd -> mul_add). This file documents them.
//
// std::fma here is a call into the C library where the compiler's baseline has no such instruction: exact,
// and slow on processors without one. That is the price of the same bits everywhere.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "simd/target.h"

namespace carat {
namespace {

struct PortableSimd {
  /// Lanes are held in registers: one token is best multiplied while weights are unpacked.
  static constexpr bool kRegisters = false;
  static constexpr int kLanes = 16;
  /// Register blocking: tokens that one pass of a quantized product takes, and of a float product; rows that
  /// attention takes, and the most sums that it keeps for them.
  static constexpr int kTokens = 4, kFloatTokens = 4, kAttentionRows = 1, kAttentionSums = 4;
  /// Whether dot products take unsigned codes up to 255 (else up to 127, or signed ones).
  static constexpr bool kUnsignedDot = true;

  struct F {
    float v[16];
  };
  struct I {
    int32_t v[16];
  };

  static CARAT_ALWAYS_INLINE F set(float x) {
    F r;
    for (float& e : r.v) e = x;
    return r;
  }
  static CARAT_ALWAYS_INLINE F zero() { return set(0.0f); }
  static CARAT_ALWAYS_INLINE F load(const float* p) {
    F r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static CARAT_ALWAYS_INLINE void store(F x, float* p) { std::memcpy(p, x.v, sizeof x.v); }
  /// The first n lanes; the others are 0.
  static CARAT_ALWAYS_INLINE F load_n(const float* p, int64_t n) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = i < n ? p[i] : 0.0f;
    return r;
  }
  static CARAT_ALWAYS_INLINE void store_n(F x, float* p, int64_t n) {
    for (int i = 0; i < 16 && i < n; ++i) p[i] = x.v[i];
  }
  /// Lanes lo <= i < hi of x, `fill` elsewhere.
  static CARAT_ALWAYS_INLINE F keep_range(F x, int64_t lo, int64_t hi, F fill) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = i >= lo && i < hi ? x.v[i] : fill.v[i];
    return r;
  }

#define CARAT_LANEWISE_2(name, type, expression)         \
  static CARAT_ALWAYS_INLINE type name(type a, type b) { \
    type r;                                              \
    for (int i = 0; i < 16; ++i) {                       \
      const auto x = a.v[i], y = b.v[i];                 \
      r.v[i] = expression;                               \
    }                                                    \
    return r;                                            \
  }
  CARAT_LANEWISE_2(add, F, x + y)
  CARAT_LANEWISE_2(sub, F, x - y)
  CARAT_LANEWISE_2(mul, F, x* y)
  CARAT_LANEWISE_2(div, F, x / y)
  /// As x86 has it: the second operand if either is NaN.
  CARAT_LANEWISE_2(min, F, x < y ? x : y)
  CARAT_LANEWISE_2(max, F, x > y ? x : y)
  CARAT_LANEWISE_2(and_i, I, x& y)
  CARAT_LANEWISE_2(or_i, I, x | y)
  CARAT_LANEWISE_2(xor_i, I, x ^ y)
  CARAT_LANEWISE_2(add_i, I, static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(y)))
  CARAT_LANEWISE_2(sub_i, I, static_cast<int32_t>(static_cast<uint32_t>(x) - static_cast<uint32_t>(y)))
  CARAT_LANEWISE_2(mul_i, I, static_cast<int32_t>(static_cast<uint32_t>(x) * static_cast<uint32_t>(y)))
  CARAT_LANEWISE_2(max_i, I, x > y ? x : y)
#undef CARAT_LANEWISE_2

  /// Lane by lane: a < b ? yes : no; no where either is NaN.
  static CARAT_ALWAYS_INLINE F select_less(F a, F b, F yes, F no) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
    return r;
  }
  /// a * b + c, rounded once.
  static CARAT_ALWAYS_INLINE F mul_add(F a, F b, F c) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
    return r;
  }

  static CARAT_ALWAYS_INLINE I set_i(int32_t x) {
    I r;
    for (int32_t& e : r.v) e = x;
    return r;
  }
  static CARAT_ALWAYS_INLINE I load_i(const void* p) {
    I r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static CARAT_ALWAYS_INLINE void store_i(I x, void* p) { std::memcpy(p, x.v, sizeof x.v); }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_left(I x) {
    for (int32_t& e : x.v) e = static_cast<int32_t>(static_cast<uint32_t>(e) << n);
    return x;
  }
  /// Logical: zeros come in.
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_right(I x) {
    for (int32_t& e : x.v) e = static_cast<int32_t>(static_cast<uint32_t>(e) >> n);
    return x;
  }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_right_signed(I x) {
    for (int32_t& e : x.v) e >>= n;
    return x;
  }
  /// The lower 16 bits of the products of each lane's 16-bit halves.
  static CARAT_ALWAYS_INLINE I mul_16(I a, I b) {
    for (int i = 0; i < 16; ++i) {
      const uint32_t x = static_cast<uint32_t>(a.v[i]), y = static_cast<uint32_t>(b.v[i]);
      a.v[i] = static_cast<int32_t>(((x & 0xffff) * (y & 0xffff) & 0xffff) | ((x >> 16) * (y >> 16) << 16));
    }
    return a;
  }
  /// Byte j of each lane, 0..255.
  template <int j>
  static CARAT_ALWAYS_INLINE I byte(I x) {
    return and_i(shift_right<8 * j>(x), set_i(255));
  }
  /// a | (b & mask).
  static CARAT_ALWAYS_INLINE I or_masked(I a, I b, I mask) { return or_i(a, and_i(b, mask)); }
  /// Per lane: the upper half of a below the lower half of b.
  static CARAT_ALWAYS_INLINE I middle(I a, I b) { return or_i(shift_right<16>(a), shift_left<16>(b)); }
  /// Each of the 64 bytes of `index` (all < 16) replaced by that entry of the table.
  static CARAT_ALWAYS_INLINE I table_lookup(const int8_t* table, I index) {
    uint8_t bytes[64];
    std::memcpy(bytes, index.v, 64);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(table[b]);
    std::memcpy(index.v, bytes, 64);
    return index;
  }

  static CARAT_ALWAYS_INLINE F convert(I x) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(x.v[i]);
    return r;
  }
  /// To the nearest integer, ties to even. |x| < 2^31.
  static CARAT_ALWAYS_INLINE I round(F x) {
    I r;
    for (int i = 0; i < 16; ++i) r.v[i] = static_cast<int32_t>(std::nearbyint(x.v[i]));
    return r;
  }
  static CARAT_ALWAYS_INLINE I bits(F x) { return std::bit_cast<I>(x); }
  static CARAT_ALWAYS_INLINE F from_bits(I x) { return std::bit_cast<F>(x); }

  /// ((l0 + l8) + (l4 + l12)) + ... : halves are added until one lane is left.
  static CARAT_ALWAYS_INLINE float sum_of_lanes(F x) {
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) x.v[i] = x.v[i] + x.v[i + half];
    return x.v[0];
  }
  static CARAT_ALWAYS_INLINE float max_of_lanes(F x) {
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) x.v[i] = x.v[i] > x.v[i + half] ? x.v[i] : x.v[i + half];
    return x.v[0];
  }
  static CARAT_ALWAYS_INLINE int32_t sum_of_lanes_i(I x) {
    uint32_t sum = 0;
    for (int32_t e : x.v) sum += static_cast<uint32_t>(e);
    return static_cast<int32_t>(sum);
  }
  static CARAT_ALWAYS_INLINE int32_t max_of_lanes_i(I x) {
    int32_t m = x.v[0];
    for (int32_t e : x.v) m = e > m ? e : m;
    return m;
  }

  /// Sixteen sums in double.
  struct D {
    double v[16];
  };
  static CARAT_ALWAYS_INLINE D zero_d() { return {}; }
  static CARAT_ALWAYS_INLINE D add_d(D sum, F x) {
    for (int i = 0; i < 16; ++i) sum.v[i] += static_cast<double>(x.v[i]);
    return sum;
  }
  static CARAT_ALWAYS_INLINE double sum_of_lanes_d(D x) {
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) x.v[i] += x.v[i + half];
    return x.v[0];
  }

  static CARAT_ALWAYS_INLINE F load_f16(const uint16_t* p) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = f16_to_float(p[i]);
    return r;
  }
  static CARAT_ALWAYS_INLINE void store_f16(F x, uint16_t* p) {
    for (int i = 0; i < 16; ++i) p[i] = float_to_f16(x.v[i]);
  }
  /// The f16 in the lower half of each lane.
  static CARAT_ALWAYS_INLINE F convert_low_f16(I x) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = f16_to_float(static_cast<uint16_t>(x.v[i]));
    return r;
  }
  /// Both halves of each lane.
  static CARAT_ALWAYS_INLINE void convert_f16(I x, F& low, F& high) {
    low = convert_low_f16(x);
    high = convert_low_f16(shift_right<16>(x));
  }
  /// The lanes, each within [-128, 127], as bytes; and as 16-bit numbers.
  static CARAT_ALWAYS_INLINE void store_i8(I x, int8_t* p) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x.v[i]);
  }

  static CARAT_ALWAYS_INLINE void store_i16(I x, int16_t* p) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(x.v[i]);
  }
  /// 32 bytes as signed 16-bit numbers, two to a lane.
  static CARAT_ALWAYS_INLINE I load_i8(const uint8_t* p) {
    int16_t x[32];
    for (int i = 0; i < 32; ++i) x[i] = static_cast<int8_t>(p[i]);
    I r;
    std::memcpy(r.v, x, sizeof r.v);
    return r;
  }
  /// sum + the products of both signed 16-bit halves of each lane.
  static CARAT_ALWAYS_INLINE I dot_i16(I sum, I a, I b) {
    for (int i = 0; i < 16; ++i)
      sum.v[i] +=
          static_cast<int16_t>(a.v[i]) * static_cast<int16_t>(b.v[i]) + (a.v[i] >> 16) * (b.v[i] >> 16);
    return sum;
  }

  /// Lane r of out[j]: bytes 4j .. 4j + 3 of row r, of which 16 are read.
  static CARAT_ALWAYS_INLINE void load_rows(const SixteenRows& rows, I* out) {
    for_each_row(rows, [&](int r, const uint8_t* p) {
      for (int j = 0; j < 4; ++j) std::memcpy(&out[j].v[r], p + 4 * j, 4);
    });
  }
  /// The same for 64 bytes, out[0] to out[15].
  static CARAT_ALWAYS_INLINE void load_rows_64(const SixteenRows& rows, I* out) {
    CARAT_UNROLL
    for (int i = 0; i < 4; ++i) load_rows(rows + 16 * i, out + 4 * i);
  }
  /// Lane r: the first 4 bytes of row r.
  static CARAT_ALWAYS_INLINE I load_rows_32(const SixteenRows& rows) {
    I out;
    for_each_row(rows, [&](int r, const uint8_t* p) { std::memcpy(&out.v[r], p, 4); });
    return out;
  }
  template <class Body>
  static CARAT_ALWAYS_INLINE void for_each_row(const SixteenRows& rows, Body&& body) {
    for (int r = 0; r < 16; ++r) body(r, rows.row<0>() + r * rows.distance<1>());
  }
  /// 32 floats as those at even and those at odd places, and back.
  static CARAT_ALWAYS_INLINE void load_pairs(const float* p, F& even, F& odd) {
    for (int i = 0; i < 16; ++i) even.v[i] = p[2 * i], odd.v[i] = p[2 * i + 1];
  }
  static CARAT_ALWAYS_INLINE void store_pairs(F even, F odd, float* p) {
    for (int i = 0; i < 16; ++i) p[2 * i] = even.v[i], p[2 * i + 1] = odd.v[i];
  }

  // Exact sums of products of 64 byte codes with 4 activations (repeated in every lane), per lane.
  // start; then for each group of 4 columns a step; every kFold<largest magnitude of a code> steps a fold; at
  // last the sum.

  struct Dot {
    I sum;
  };
  /// Steps that may pass between folds: what 16-bit partial sums hold, where an instruction set has those.
  template <int kLargest>
  static constexpr int kFold = 8;
  static CARAT_ALWAYS_INLINE Dot dot_start(int32_t x) { return {set_i(x)}; }
  template <bool kSigned>
  static CARAT_ALWAYS_INLINE void dot_step(Dot& dot, I codes, const int8_t* a) {
    uint8_t c[64];
    std::memcpy(c, codes.v, 64);
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 4; ++j) {
        const int code = kSigned ? static_cast<int8_t>(c[4 * i + j]) : c[4 * i + j];
        dot.sum.v[i] += code * a[j];
      }
  }
  static CARAT_ALWAYS_INLINE void dot_fold(Dot&) {}
  static CARAT_ALWAYS_INLINE I dot_sum(const Dot& dot) { return dot.sum; }
};

}  // namespace
}  // namespace carat
