// Scales that are stored in eight bits (small_floats.h), in vectors: rounding to them, and what lies beside.
//
// Included inside a target region after search_lanes.h; includes nothing.

namespace carat {
namespace {

template <class Scale>
struct OwnScales;

template <>
struct OwnScales<E8M0Half> {
  /// Of powers of two, how many steps up and down from a rounded scale the best may be.
  static constexpr int kReach = 1;
  static constexpr float kLeast = 0x1p-126f, kMost = 0x1p126f;
  /// The power of two below.
  static CARAT_ALWAYS_INLINE F rounded(F x) { return (F)((I)clamp(x, kLeast, kMost) & 0x7f800000); }
  /// The scale under which the largest E2M1 has the exponent of the peak (OCP Microscaling Formats
  /// v1.0, 6.3).
  static CARAT_ALWAYS_INLINE F nearest(F peak) { return rounded(peak * 0.125f); }
  static CARAT_ALWAYS_INLINE F stepped(F scale, int by) {
    return clamp(by > 0 ? scale * 2.0f : scale * 0.5f, kLeast, kMost);
  }
};

template <>
struct OwnScales<UE4M3Half> {
  static constexpr int kReach = 2;
  static constexpr float kMost = 224;
  /// The nearest, halves up; what is not zero stays so.
  static CARAT_ALWAYS_INLINE F rounded(F x) {
    const F a = lower(x, splat(kMost));
    const F normal = (F)(((I)a + 0x80000) & ~0xfffff);
    const F subnormal = higher(nearest_integer(a * 0x1p10f), splat(1)) * 0x1p-10f;
    return x == 0.0f ? F{} : lower(a < 0x1p-7f ? subnormal : normal, splat(kMost));
  }
  /// The scale that puts the peak on the largest E2M1.
  static CARAT_ALWAYS_INLINE F nearest(F peak) { return rounded(peak * (1 / 12.0f)); }
  static CARAT_ALWAYS_INLINE F stepped(F scale, int by) {
    const F step = scale < 0x1p-6f ? splat(0x1p-10f) : (F)((I)scale & 0x7f800000) * 0.125f;
    return clamp(scale + static_cast<float>(by) * step, 0x1p-10f, kMost);
  }
};

}  // namespace
}  // namespace carat
