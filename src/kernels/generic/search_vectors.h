// The vectors of the searches, whose lanes are rows (search_lanes.h). What their compilers' operators do not
// reach at full speed, each instruction set adds in kernels/<isa>/search.cc: lower and higher, multiply_high,
// add_products and fused.
//
// Included inside a target region after kSearchLanes is defined (simd/target.h); includes nothing.

namespace carat {
namespace {

#define CARAT_LANES static CARAT_ALWAYS_INLINE

typedef float F __attribute__((vector_size(4 * kSearchLanes)));
typedef int32_t I __attribute__((vector_size(4 * kSearchLanes)));
/// Doubles, half as many lanes.
typedef double G __attribute__((vector_size(4 * kSearchLanes)));
/// Two 16-bit integers per lane: those of an even column and of the next.
typedef int16_t H __attribute__((vector_size(4 * kSearchLanes)));

}  // namespace
}  // namespace carat
