// Where the searches start, per encoding. Found by trying grids on real weights, under uniform and uneven
// importance, until denser ones gained less than a percent of the error: uneven importance wants starting
// scales far from the span's (an unimportant peak is best clipped), so the grids are wide and thin out.
//
// Included inside a target region after search_lanes.h; includes nothing.

namespace carat {
namespace {

/// `count` levels from `first` on, `step` apart.
struct Levels {
  float first, step;
  int count;
};

/// Where the search starts under uneven importance. Symmetric: the levels on which a leaf's element of
/// greatest magnitude is put, one starting scale each. Affine: how far a leaf's span is drawn in at each end,
/// in steps between levels: every pair of `ends` first, then along each end by `moves` from the best so far.
/// kRefinements rounds of least squares follow.
template <class E>
struct UnevenGrid {
  static constexpr float lowest = static_cast<float>(E::level(0));
  static constexpr Levels levels[] = {{1.5f * lowest, -0.0625f * lowest, 13},
                                      {-0.6f * lowest, -0.1f * lowest, 9}};
  static constexpr float ends[] = {-1.0f, -0.3f, 0.4f, 1.1f};
  static constexpr float moves[] = {0.35f, 0.35f, 0.18f, 0.09f};
  static constexpr int kRefinements = 2;
};
template <>
struct UnevenGrid<Q4_0> {
  static constexpr Levels levels[] = {{-9, 0.5f, 7}, {-14, 1, 5}, {5.5f, 0.5f, 6}, {9, 1, 4}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q5_0> {
  static constexpr Levels levels[] = {{-18, 0.5f, 9}, {-26, 1.5f, 5}, {14, 0.5f, 6}, {18, 2, 3}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q8_0> {
  static constexpr Levels levels[] = {{-128.4f, 0.6f, 14}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q3_K> {
  static constexpr Levels levels[] = {{-4.5f, 0.25f, 11}, {-7, 0.5f, 5}, {2, 0.25f, 7}, {4, 0.5f, 5}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q6_K> {
  static constexpr Levels levels[] = {{-34, 0.375f, 19}, {-42, 1, 8}, {27, 0.5f, 14}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<IQ4_NL> {
  static constexpr Levels levels[] = {{-145, 7, 8}, {-215, 15, 5}, {90, 8, 6}, {145, 15, 4}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<IQ4_XS> : UnevenGrid<IQ4_NL> {};

template <>
struct UnevenGrid<Q2_K> {
  static constexpr float ends[] = {-0.2f, 0.2f, 0.6f, 1.0f, 1.4f};
  static constexpr float moves[] = {0.2f, 0.1f};
  static constexpr int kRefinements = 2;
};

/// The same where all columns count alike. Encodings of one level, which others round in a single pass, get
/// short grids: the best scale is never far from the span's.
template <class E>
struct EvenGrid : UnevenGrid<E> {};

template <>
struct EvenGrid<Q8_0> {
  static constexpr Levels levels[] = {{-127.8f, 1.5f, 3}};
  static constexpr int kRefinements = 1;
};
template <>
struct EvenGrid<Q4_0> {
  static constexpr Levels levels[] = {{-8.6f, 0.6f, 4}, {7.2f, 0.6f, 2}};
  static constexpr int kRefinements = 1;
};
template <>
struct EvenGrid<Q5_0> {
  static constexpr Levels levels[] = {{-16.7f, 0.6f, 4}, {15.2f, 0.6f, 2}};
  static constexpr int kRefinements = 1;
};
template <>
struct EvenGrid<Q4_1> {
  static constexpr float ends[] = {0.0f, 0.5f};
  static constexpr float moves[] = {0.3f};
  static constexpr int kRefinements = 1;
};
template <>
struct EvenGrid<Q5_1> : EvenGrid<Q4_1> {};

}  // namespace
}  // namespace carat
