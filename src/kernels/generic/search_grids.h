// Where the searches start, per encoding: found by trying grids on real weights (docs/numerics.md, "Choosing
// codes"). More points lower the error slowly and cost time in proportion.
//
// Included inside a target region before search_leaf.h is instantiated; includes nothing.

namespace carat {
namespace {

template <>
struct SymmetricGrid<Q4_0> {
  static constexpr float levels[] = {-9.0f, -8.5f, -8.0f, -7.5f, -7.0f, -6.5f, 6.0f, 6.5f, 7.0f, 7.5f};
  static constexpr int kRefinements = 1;
};
template <>
struct SymmetricGrid<Q5_0> {
  static constexpr float levels[] = {-17.0f, -16.5f, -16.0f, -15.5f, -15.0f,
                                     -14.5f, 14.0f,  14.5f,  15.0f,  15.5f};
  static constexpr int kRefinements = 1;
};
template <>
struct SymmetricGrid<Q8_0> {
  static constexpr float levels[] = {-128.0f, -127.3f, -126.0f};
  static constexpr int kRefinements = 0;
};
template <>
struct SymmetricGrid<Q3_K> {
  static constexpr float levels[] = {-4.5f, -4.25f, -4.0f, -3.75f, -3.5f, -3.25f, -3.0f, -2.75f,
                                     -2.5f, 2.0f,   2.25f, 2.5f,   2.75f, 3.0f,   3.25f, 3.5f};
  static constexpr int kRefinements = 1;
};
template <>
struct SymmetricGrid<Q6_K> {
  static constexpr float levels[] = {-33.0f, -32.5f, -32.0f, -31.5f, -31.0f, -30.5f,
                                     -30.0f, 30.0f,  30.5f,  31.0f,  31.5f};
  static constexpr int kRefinements = 1;
};
template <>
struct SymmetricGrid<IQ4_NL> {
  static constexpr float levels[] = {-140.0f, -132.0f, -127.0f, -120.0f, -113.0f, -106.0f,
                                     -98.0f,  98.0f,   106.0f,  113.0f,  120.0f};
  static constexpr int kRefinements = 1;
};
template <>
struct SymmetricGrid<IQ4_XS> : SymmetricGrid<IQ4_NL> {};

struct Ends {
  float low, high;
};

template <class E>
struct AffineGrid {
  static constexpr Ends ends[] = {{0, 0}, {0.5f, 0}, {0, 0.5f}, {0.5f, 0.5f}, {-0.3f, -0.3f},
                                  {1, 0}, {0, 1},    {1, 1},    {1, .5f},     {.5f, 1}};
  static constexpr int kRefinements = 2;
};

}  // namespace
}  // namespace carat
