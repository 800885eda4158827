// The canonical form of block encodings: one code per atom of columns, and the parameters of each leaf. Atoms
// are single columns, except where codes name vectors of a codebook (codebook.h).
//
// Every block encoding of GGUF decodes as  scale * level(code) + offset  in float32, where
//   level   a small integer: code - center, an entry of a table of 16, or of a vector of a codebook;
//   scale   d (f16), or d * s with a small integer s per leaf (two-level encodings), or a small float of each
//           leaf's own (small_floats.h);
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
#include <type_traits>

#include "base/half.h"

#define CARAT_ENCODING_INLINE static inline __attribute__((always_inline))

namespace carat {

/// Whether a leaf has an offset, and how it is stored.
enum class Offset {
  none,
  stored,      ///< value = scale * level + m
  subtracted,  ///< value = scale * level - m * t
  zero_point   ///< value = scale * (level - zero), of grouped encodings (grouped.h)
};

/// One block of `Columns` columns with `Leaves` leaves. Members that an encoding does not store are empty (or
/// 0).
template <int Columns, int Leaves, bool kTwoLevel, Offset kOffset, class OwnScale = void>
struct Planes {
  uint16_t d = 0;  ///< f16 bits; 0 where leaves have scales of their own
  uint16_t m = 0;  ///< f16 bits; 0 without an offset
  std::array<int8_t, kTwoLevel ? Leaves : 0> scale{};
  std::array<uint8_t, kOffset == Offset::subtracted ? Leaves : 0> min{};
  std::array<uint8_t, std::is_void_v<OwnScale> ? 0 : Leaves> own{};  ///< as stored
  std::array<uint8_t, Columns> code{};                               ///< one per column

  bool operator==(const Planes&) const = default;
};

/// What an encoding's struct derives its planes from. E must define: kName, kGgmlType, kAtom; Block, pack,
/// unpack; kCodes (how many codes) and level(code); for two-level encodings the range kScaleLow..kScaleHigh
/// of s and, with an offset, 0..kMinHigh of t. OwnScale: how leaves store scales of their own, or void.
template <int kColumns, int kLeafColumns, bool kScaledLeaves, Offset kOffsetKind, class Scale = void>
struct BlockFacts {
  static constexpr bool kFloat = false, kGrouped = false;
  static constexpr int kAtom = 1;
  static constexpr int kLeaf = kLeafColumns;
  static constexpr int kBlock = kColumns;
  static constexpr int kLeaves = kColumns / kLeafColumns;
  static constexpr bool kTwoLevel = kScaledLeaves;
  static constexpr Offset kOffset = kOffsetKind;
  static constexpr float kUnit = 1;  ///< what d counts; a power of two
  using OwnScale = Scale;
  static constexpr bool kOwnScales = !std::is_void_v<Scale>;
  using Planes = carat::Planes<kColumns, kLeaves, kScaledLeaves, kOffsetKind, Scale>;
};

/// The factor of a block's integers or, of encodings with one level of scales, of its levels.
template <class E>
CARAT_ENCODING_INLINE float block_scale(const typename E::Planes& p) {
  return f16_to_float(p.d) * E::kUnit;
}
/// The float32 factor of a leaf's levels, exactly as every decoder computes it.
template <class E>
CARAT_ENCODING_INLINE float leaf_scale(const typename E::Planes& p, int leaf) {
  if constexpr (E::kOwnScales)
    return E::OwnScale::to_float(p.own[static_cast<size_t>(leaf)]);
  else if constexpr (E::kTwoLevel)
    return block_scale<E>(p) * static_cast<float>(p.scale[static_cast<size_t>(leaf)]);
  else
    return (void)leaf, block_scale<E>(p);
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

/// The levels of one leaf's columns.
template <class E>
CARAT_ENCODING_INLINE void leaf_levels(const typename E::Planes& p, int leaf, int8_t* level) {
  for (int j = 0; j < E::kLeaf; j += E::kAtom) {
    const auto code = p.code[static_cast<size_t>((leaf * E::kLeaf + j) / E::kAtom)];
    if constexpr (E::kAtom == 1)
      level[j] = static_cast<int8_t>(E::level(code));
    else
      E::expand(code, level + j);
  }
}

/// The exact values of one block. Two roundings at most: the product, then the sum.
template <class E>
CARAT_ENCODING_INLINE void decode_planes(const typename E::Planes& p, float* dst) {
  for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
    const float scale = leaf_scale<E>(p, leaf);
    const float offset = leaf_offset<E>(p, leaf);
    int8_t level[E::kLeaf];
    leaf_levels<E>(p, leaf, level);
    float* out = dst + leaf * E::kLeaf;
    for (int j = 0; j < E::kLeaf; ++j) {
      const float product = scale * static_cast<float>(level[j]);
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
