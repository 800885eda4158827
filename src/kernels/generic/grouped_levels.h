// The levels of grouped encodings, and which is nearest. A group's zero point only moves the range of levels:
// q - zero from -zero to 2^bits - 1 - zero.
//
// Included inside a target region after search_lanes.h and half_quadratic.h; includes nothing.

namespace carat {
namespace {

template <class E>
concept IntegerLevels = requires {
  E::kBits;
};

/// The greatest and least level in each lane; only integers look at them.
struct LevelRange {
  F low{}, high{};
};
template <class E>
CARAT_LANES LevelRange level_range(F zero) {
  if constexpr (!IntegerLevels<E>)
    return {};
  else if constexpr (E::kZeroPoint)
    return {F{} - zero, static_cast<float>(E::kCodes - 1) - zero};
  else
    return {splat(E::level(0)), splat(E::level(E::kCodes - 1))};
}

/// |x| rounded to 3 bits after the first, ties to even; below 2^-6 to multiples of 2^-9; at most 448.
CARAT_LANES F nearest_e4m3(F x) {
  const I sign = (I)x & static_cast<int32_t>(0x80000000);
  const F a = lower(magnitude(x), splat(FP8::kLargest));
  const I bits = (I)a;
  const F normal = (F)((bits + 0x7ffff + ((bits >> 20) & 1)) & ~0xfffff);
  const F subnormal = (a + 16384.0f) - 16384.0f;  // the last bit of 2^14 is worth 2^-9
  const F rounded = a < 0x1p-6f ? subnormal : normal;
  return (F)((I)rounded | sign);
}

template <class E>
CARAT_LANES F nearest_group_level(F t, const LevelRange& range) {
  if constexpr (IntegerLevels<E>) {
    return nearest_integer(lower(higher(t, range.low), range.high));
  } else if constexpr (std::is_same_v<E, FP8>) {
    return nearest_e4m3(t);
  } else {
    F level = splat(kNf4Levels[0]);
    CARAT_UNROLL
    for (int c = 1; c < E::kCodes; ++c)
      level = t > 0.5f * (kNf4Levels[c - 1] + kNf4Levels[c]) ? splat(kNf4Levels[c]) : level;
    return level;
  }
}

/// The code of a level that nearest_group_level gave.
template <class E>
CARAT_LANES I group_code(F level, const LevelRange& range) {
  if constexpr (IntegerLevels<E>) {
    return __builtin_convertvector(level - range.low, I);
  } else if constexpr (std::is_same_v<E, FP8>) {
    const I sign = ((I)level >> 24) & 0x80, bits = (I)magnitude(level);
    const I normal = (bits >> 20) - ((127 - 7) << 3);
    const I subnormal = __builtin_convertvector(magnitude(level) * 512.0f, I);
    return sign | (bits < 0x3c800000 ? subnormal : normal);  // 2^-6
  } else {
    I code{};
    CARAT_UNROLL
    for (int c = 1; c < E::kCodes; ++c) code -= level > kNf4Levels[c - 1];
    return code;
  }
}

/// The level that plain rounding puts the element of greatest magnitude on: half a step beyond the last one
/// of integers, as compressed-tensors and GPTQ have it.
template <class E>
inline constexpr float kPeakLevel = 1;
template <>
inline constexpr float kPeakLevel<FP8> = FP8::kLargest;
template <IntegerLevels E>
inline constexpr float kPeakLevel<E> = 0.5f * static_cast<float>(E::kCodes - 1);

}  // namespace
}  // namespace carat
