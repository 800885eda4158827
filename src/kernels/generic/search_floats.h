// 16-bit floats to float32 and back, as base/half.h defines them, a vector at a time; and all encodings'
// values as float32.
//
// Integer arithmetic rather than F16C, so that one text serves every instruction set: conversion is far from
// being what a rounder waits for.
//
// Included inside a target region after search_lanes.h; includes nothing.

namespace carat {
namespace {

typedef uint32_t U __attribute__((vector_size(4 * kSearchLanes)));
typedef uint16_t Halves __attribute__((vector_size(2 * kSearchLanes)));

CARAT_LANES F f16_values(Halves h) {
  const U u = __builtin_convertvector(h, U);
  const U sign = (u & 0x8000u) << 16, size = u & 0x7fffu;
  const U subnormal = (U)(__builtin_convertvector((I)size, F) * 0x1p-24f);
  const U normal = (size << 13) + 0x38000000u;
  const U special = 0x7f800000u | (size & 0x3ffu) << 13;
  return (F)(sign | (size < 0x400u ? subnormal : size < 0x7c00u ? normal : special));
}

CARAT_LANES F bf16_values(Halves h) { return (F)(__builtin_convertvector(h, U) << 16); }

CARAT_LANES Halves to_f16(F x) {
  const U u = (U)x, sign = u >> 16 & 0x8000u, size = u & 0x7fffffffu;
  // Adding 0.5 puts a subnormal's steps of 2^-24 into the last bits of the mantissa, rounded to nearest even.
  const U subnormal = (U)((F)size + 0.5f) - 0x3f000000u;
  const U normal = (size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13;
  const U finite = size < 0x38800000u ? subnormal : normal;
  const U large = size > 0x7f800000u ? U{} + 0x7e00u : U{} + 0x7c00u;
  return __builtin_convertvector(sign | (size < 0x477ff000u ? finite : large), Halves);
}

CARAT_LANES Halves to_bf16(F x) {
  const U u = (U)x;
  const U finite = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
  return __builtin_convertvector((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16 | 0x40u) : finite, Halves);
}

struct FullVector {
  CARAT_ALWAYS_INLINE constexpr operator size_t() const { return kSearchLanes; }
};

/// body(j, count) for each vector from value j on, count being a constant but for what is left over.
template <class Body>
CARAT_LANES void in_vectors(int64_t n, Body body) {
  int64_t j = 0;
  for (; j + kSearchLanes <= n; j += kSearchLanes) body(j, FullVector{});
  if (j < n) body(j, static_cast<size_t>(n - j));
}

template <class E>
void decode_values(const uint8_t* in, float* out, int64_t n) {
  if constexpr (std::is_same_v<E, F32>) {
    std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
  } else if constexpr (E::kFloat) {
    in_vectors(
        n, [&](int64_t j, auto count) __attribute__((always_inline)) {
          Halves h{};
          std::memcpy(&h, in + 2 * j, count * sizeof(uint16_t));
          const F x = std::is_same_v<E, F16> ? f16_values(h) : bf16_values(h);
          std::memcpy(out + j, &x, count * sizeof(float));
        });
  } else {
    typename E::Planes planes;
    const auto* block = reinterpret_cast<const typename E::Block*>(in);  // packed: any alignment will do
    for (int64_t j = 0; j < n; j += E::kBlock) {
      E::unpack(*block++, planes);
      decode_planes<E>(planes, out + j);
    }
  }
}

/// Rows of weights in a float encoding, rounded to nearest even.
template <class E>
void convert_rows(const SearchArgs& args) {
  const int64_t n = args.rows * args.columns;
  if constexpr (std::is_same_v<E, F32>) {
    std::memcpy(args.out, args.weights, static_cast<size_t>(n) * sizeof(float));
  } else {
    in_vectors(
        n, [&](int64_t j, auto count) __attribute__((always_inline)) {
          F x{};
          std::memcpy(&x, args.weights + j, count * sizeof(float));
          const Halves h = std::is_same_v<E, F16> ? to_f16(x) : to_bf16(x);
          std::memcpy(args.out + 2 * j, &h, count * sizeof(uint16_t));
        });
  }
}

}  // namespace
}  // namespace carat
