// Replaces operator new in this test program, to hold the readers to their promise on memory.
// Not inlined: the compiler would see malloc behind new and free behind delete, and warn of a mismatch.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "containers/test_files.h"

namespace {

std::atomic<size_t> now{0};
std::atomic<size_t> peak{0};

}  // namespace

[[gnu::noinline]] void* operator new(size_t size) {
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  const size_t total = now.fetch_add(malloc_usable_size(p)) + malloc_usable_size(p);
  size_t old = peak.load();
  while (old < total && !peak.compare_exchange_weak(old, total)) {
  }
  return p;
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  if (p != nullptr) now.fetch_sub(malloc_usable_size(p));
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { operator delete(p); }

namespace carat::testing {

size_t allocated_now() { return now.load(); }
size_t allocated_peak() { return peak.load(); }
void reset_allocated_peak() { peak.store(now.load()); }

TEST(Allocation, is_counted) {
  reset_allocated_peak();
  const size_t before = allocated_now();
  {
    const std::vector<char> v(1 << 20);
    EXPECT_GE(allocated_now(), before + (1 << 20));
  }
  EXPECT_GE(allocated_peak(), before + (1 << 20));
  EXPECT_LT(allocated_now(), before + (1 << 20));
}

}  // namespace carat::testing
