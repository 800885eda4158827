// Where the searches start, and how long they go on, per encoding. Found by trying grids on real weights,
// under uniform and uneven importance, until denser ones gained less than a percent of the error: uneven
// importance wants starting scales far from the span's (an unimportant peak is best clipped), so the grids
// are wide and thin out. Where all columns count alike, levels on which the peak of a leaf lies exactly are
// the best starts: ten whole levels of Q6_K leave half a percent less error than 41 that lie closer and
// mostly miss them.
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
/// kRefinements rounds of least squares follow. Two-level encodings then move each leaf's integer scale, by
/// up to kReach steps where it is alone, and refit the outer parameters kRounds times.
struct AnyGrid {
  static constexpr int kReach = 1, kRounds = 3;
};
template <class E>
struct UnevenGrid : AnyGrid {
  static constexpr float lowest = static_cast<float>(E::level(0));
  static constexpr Levels levels[] = {{1.5f * lowest, -0.0625f * lowest, 13},
                                      {-0.6f * lowest, -0.1f * lowest, 9}};
  static constexpr float ends[] = {-1.0f, -0.3f, 0.4f, 1.1f};
  static constexpr float moves[] = {0.35f, 0.35f, 0.18f, 0.09f};
  static constexpr int kRefinements = 2;
};
template <>
struct UnevenGrid<Q4_0> : AnyGrid {
  static constexpr Levels levels[] = {{-9, 0.5f, 7}, {-14, 1, 5}, {5.5f, 0.5f, 6}, {9, 1, 4}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q5_0> : AnyGrid {
  static constexpr Levels levels[] = {{-18, 0.5f, 9}, {-26, 1.5f, 5}, {14, 0.5f, 6}, {18, 2, 3}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q8_0> : AnyGrid {
  static constexpr Levels levels[] = {{-128.4f, 0.6f, 14}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q3_K> : AnyGrid {
  static constexpr Levels levels[] = {{-4.5f, 0.25f, 11}, {-7, 0.5f, 5}, {2, 0.25f, 7}, {4, 0.5f, 5}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<Q6_K> : AnyGrid {
  static constexpr Levels levels[] = {{-34, 0.375f, 19}, {-42, 1, 8}, {27, 0.5f, 14}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<IQ4_NL> : AnyGrid {
  static constexpr Levels levels[] = {{-145, 7, 8}, {-215, 15, 5}, {90, 8, 6}, {145, 15, 4}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<IQ4_XS> : UnevenGrid<IQ4_NL> {};

template <>
struct UnevenGrid<MXFP4> : AnyGrid {
  static constexpr Levels levels[] = {{8, 0.5f, 17}};
  static constexpr int kRefinements = 1;
};
template <>
struct UnevenGrid<NVFP4> : UnevenGrid<MXFP4> {};
/// `shared`: factors of the mean scale of the leaves.
template <>
struct UnevenGrid<TQ1_0> : AnyGrid {
  static constexpr Levels levels[] = {{1, 0.15f, 20}};
  static constexpr float shared[] = {0.75f, 0.9f, 1.0f, 1.12f, 1.3f};
  static constexpr int kRefinements = 1, kRounds = 4;
};
template <>
struct UnevenGrid<TQ2_0> : AnyGrid {
  static constexpr Levels levels[] = {{1, 0.2f, 15}, {-1, -0.2f, 10}};
  static constexpr float shared[] = {0.8f, 1.0f, 1.2f, -0.8f, -1.0f, -1.2f};
  static constexpr int kRefinements = 1, kRounds = 4;
};

template <>
struct UnevenGrid<Q2_K> : AnyGrid {
  static constexpr float ends[] = {-0.2f, 0.2f, 0.6f, 1.0f, 1.4f};
  static constexpr float moves[] = {0.2f, 0.1f};
  static constexpr int kRefinements = 2;
};

/// The same where all columns count alike. Encodings of one level, which others round in a single pass, get
/// short grids, as the best scale is never far from the span's, and no rounds: only the rounding of the scale
/// would be left to gain, 0.1 to 0.6 % of the error.
template <class E>
struct EvenGrid : UnevenGrid<E> {
  static constexpr int kRounds = E::kTwoLevel ? UnevenGrid<E>::kRounds : 0;
};

template <>
struct EvenGrid<Q8_0> {
  static constexpr Levels levels[] = {{-127.8f, 1.5f, 3}};
  static constexpr int kRefinements = 1, kRounds = 0;
};
template <>
struct EvenGrid<Q4_0> {
  static constexpr Levels levels[] = {{-8.6f, 0.6f, 5}, {7.2f, 0.6f, 2}};
  static constexpr int kRefinements = 1, kRounds = 0;
};
template <>
struct EvenGrid<Q5_0> {
  static constexpr Levels levels[] = {{-17, 1, 5}, {14, 1, 5}};
  static constexpr int kRefinements = 1, kRounds = 0;
};
template <>
struct EvenGrid<Q4_1> {
  static constexpr float ends[] = {0.0f, 0.5f};
  static constexpr float moves[] = {0.3f};
  static constexpr int kRefinements = 2, kRounds = 0;
};
template <>
struct EvenGrid<Q5_1> : EvenGrid<Q4_1> {};
template <>
struct EvenGrid<Q2_K> : AnyGrid {
  static constexpr float ends[] = {-0.1f, 0.2f, 0.5f, 0.8f, 1.1f};
  static constexpr std::array<float, 0> moves{};
  static constexpr int kRefinements = 1;
};
template <>
struct EvenGrid<Q3_K> {
  static constexpr Levels levels[] = {{-5, 1 / 3.0f, 10}, {2, 1 / 3.0f, 7}};
  static constexpr int kRefinements = 1, kReach = 4, kRounds = 3;
};
template <>
struct EvenGrid<Q4_K> {
  static constexpr float ends[] = {-1.0f, -0.5f, 0.0f, 0.5f};
  static constexpr float moves[] = {0.25f};
  static constexpr int kRefinements = 1, kReach = 1, kRounds = 1;
};
template <>
struct EvenGrid<Q5_K> : AnyGrid {
  static constexpr float ends[] = {-1.0f, -0.5f, 0.0f, 0.5f, 1.0f};
  static constexpr float moves[] = {0.25f};
  static constexpr int kRefinements = 1;
};
template <>
struct EvenGrid<Q6_K> {
  static constexpr Levels levels[] = {{-33, 1, 10}};
  static constexpr int kRefinements = 1, kReach = 3, kRounds = 1;
};
template <>
struct EvenGrid<IQ4_NL> {
  static constexpr Levels levels[] = {{-145, 4, 14}, {-127, 23, 2}, {90, 6, 8}, {113, -24, 2}};
  static constexpr int kRefinements = 1, kRounds = 0;
};
template <>
struct EvenGrid<IQ4_XS> : EvenGrid<IQ4_NL> {
  static constexpr int kReach = 5, kRounds = 3;
};

template <class E, bool kEven>
using Grid = std::conditional_t<kEven, EvenGrid<E>, UnevenGrid<E>>;

}  // namespace
}  // namespace carat
