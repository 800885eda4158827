// The canonical form of block encodings: one code per column, and the parameters of each leaf.
//
// Every block encoding of GGUF decodes as  scale * level(code) + offset  in float32, where
//   level   a small integer: code - center, or an entry of a table of 16;
//   scale   d (f16), or d * s with a small integer s per leaf (two-level encodings);
//   offset  absent, or m (f16), or -(m * t) with a small integer t per leaf.
// Bytes of a file and planes are two layouts of the same thing: pack and unpack of each encoding's header are
// exact inverses. Rounders work on planes; fast kernels read the packed bytes.
//
// Everything here and in the encodings' headers is always_inline: these functions are also used by code that
// is compiled for wider instruction sets, where an out-of-line copy could be the one the linker keeps for
// everybody.
#pragma once

#include <array>
#include <cstdint>

#include "base/half.h"

#define CARAT_ENCODING_INLINE static inline __attribute__((always_inline))

namespace carat {

/// Whether a leaf has an offset, and how it is stored.
enum class Offset {
  none,
  stored,     ///< value = scale * level + m
  subtracted  ///< value = scale * level - m * t
};

/// One block of `Columns` columns with `Leaves` leaves. Members that an encoding does not store are empty (or
/// 0).
template <int Columns, int Leaves, bool kTwoLevel, Offset kOffset>
struct Planes {
  uint16_t d = 0;  ///< f16 bits
  uint16_t m = 0;  ///< f16 bits; 0 without an offset
  std::array<int8_t, kTwoLevel ? Leaves : 0> scale{};
  std::array<uint8_t, kOffset == Offset::subtracted ? Leaves : 0> min{};
  std::array<uint8_t, Columns> code{};

  bool operator==(const Planes&) const = default;
};

/// What an encoding's struct derives its planes from. E must define: kName, kGgmlType, kAtom; Block, pack,
/// unpack; kCodes (how many codes) and level(code); for two-level encodings the range kScaleLow..kScaleHigh
/// of s and, with an offset, 0..kMinHigh of t.
template <int kColumns, int kLeafColumns, bool kScaledLeaves, Offset kOffsetKind>
struct BlockFacts {
  static constexpr bool kFloat = false;
  static constexpr int kAtom = 1;
  static constexpr int kLeaf = kLeafColumns;
  static constexpr int kBlock = kColumns;
  static constexpr int kLeaves = kColumns / kLeafColumns;
  static constexpr bool kTwoLevel = kScaledLeaves;
  static constexpr Offset kOffset = kOffsetKind;
  using Planes = carat::Planes<kColumns, kLeaves, kScaledLeaves, kOffsetKind>;
};

/// The float32 factor of a leaf's levels, exactly as every decoder computes it.
template <class E>
CARAT_ENCODING_INLINE float leaf_scale(const typename E::Planes& p, int leaf) {
  if constexpr (E::kTwoLevel)
    return f16_to_float(p.d) * static_cast<float>(p.scale[static_cast<size_t>(leaf)]);
  else
    return (void)leaf, f16_to_float(p.d);
}

/// What is added to a leaf's scaled levels; 0 for encodings without an offset.
template <class E>
CARAT_ENCODING_INLINE float leaf_offset(const typename E::Planes& p, int leaf) {
  if constexpr (E::kOffset == Offset::subtracted)
    return -(f16_to_float(p.m) * static_cast<float>(p.min[static_cast<size_t>(leaf)]));
  else if constexpr (E::kOffset == Offset::stored)
    return (void)leaf, f16_to_float(p.m);
  else
    return (void)p, (void)leaf, 0.0f;
}

/// The exact values of one block. Two roundings at most: the product, then the sum.
template <class E>
CARAT_ENCODING_INLINE void decode_planes(const typename E::Planes& p, float* dst) {
  for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
    const float scale = leaf_scale<E>(p, leaf);
    const float offset = leaf_offset<E>(p, leaf);
    const uint8_t* code = p.code.data() + leaf * E::kLeaf;
    float* out = dst + leaf * E::kLeaf;
    for (int j = 0; j < E::kLeaf; ++j) {
      const float product = scale * static_cast<float>(E::level(code[j]));
      // Adding 0 would turn -0 into 0: where there is no offset nothing is added.
      if constexpr (E::kOffset == Offset::none)
        out[j] = product;
      else
        out[j] = product + offset;
    }
  }
}

// How codes lie in bytes. All layouts are made of fields of 1, 2 or 4 bits at a stride: bits `shift` of byte
// j belong to column j of some run.

/// code[j] |= (bytes[j] >> shift & mask) << up for j < n.
CARAT_ENCODING_INLINE void take_bits(const uint8_t* bytes, int shift, int mask, int up, uint8_t* code,
                                     int n) {
  for (int j = 0; j < n; ++j) code[j] = static_cast<uint8_t>(code[j] | ((bytes[j] >> shift) & mask) << up);
}

/// The inverse: bytes[j] |= (code[j] >> up & mask) << shift.
CARAT_ENCODING_INLINE void put_bits(const uint8_t* code, int shift, int mask, int up, uint8_t* bytes, int n) {
  for (int j = 0; j < n; ++j) bytes[j] = static_cast<uint8_t>(bytes[j] | ((code[j] >> up) & mask) << shift);
}

}  // namespace carat
