// The mode of x86 in which subnormal numbers are zeros, as operands and as results. Included inside a target
// region (simd/target.h).

namespace carat {
namespace {

/// While it lives, for the functions called meanwhile: a compiler may move arithmetic of the same function
/// past both its ends.
class SubnormalsAreZero {
 public:
  SubnormalsAreZero() { _mm_setcsr(before_ | kResults | kOperands); }
  ~SubnormalsAreZero() { _mm_setcsr(before_); }
  SubnormalsAreZero(const SubnormalsAreZero&) = delete;
  SubnormalsAreZero& operator=(const SubnormalsAreZero&) = delete;

 private:
  static constexpr unsigned kResults = 0x8000, kOperands = 0x40;
  const unsigned before_ = _mm_getcsr();
};

}  // namespace
}  // namespace carat
