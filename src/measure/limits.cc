#include "measure/limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "base/checked.h"
#include "base/control_groups.h"
#include "base/stopwatch.h"

namespace carat {
namespace {

constexpr int64_t kShare = 2 << 20;  ///< bytes a thread takes at a time

}  // namespace

Limits mean(const Limits& a, const Limits& b) {
  return {(a.read + b.read) / 2, (a.int8 + b.int8) / 2, (a.bf16 + b.bf16) / 2, (a.f32 + b.f32) / 2};
}

void LimitMeter::Free::operator()(uint8_t* p) const { ::munmap(p, bytes); }

LimitMeter::LimitMeter(const KernelTable& kernels, uint64_t bytes) : kernels_(kernels) {
  if (bytes == 0) {
    bytes = uint64_t{512} << 20;
    if (const uint64_t available = available_memory(); available > 0) bytes = std::min(bytes, available / 8);
  }
  bytes = std::max<uint64_t>(bytes / kShare, 1) * kShare;
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return;
  ::madvise(p, bytes, MADV_HUGEPAGE);
  std::memset(p, 1, bytes);
  memory_ = {static_cast<uint8_t*>(p), Free{bytes}};
  bytes_ = bytes;
}

double LimitMeter::measure_read(ThreadPool& pool) const {
  if (!memory_) return 0;
  constexpr int kPasses = 3;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Stopwatch watch;
    pool.parallel_for(static_cast<int64_t>(bytes_) / kShare, 1, [&](int64_t begin, int64_t end, int) {
      alignas(64) float sink[32] = {};
      kernels_.peaks.read(memory_.get() + begin * kShare, (end - begin) * kShare, sink);
    });
    best = std::max(best, static_cast<double>(bytes_) / watch.seconds());
  }
  return best;
}

double LimitMeter::measure_operations(ThreadPool& pool, double (*loop)(int64_t, float*)) const {
  if (loop == nullptr) return 0;
  // Rounds for about a millisecond each, in a few shares per thread.
  alignas(64) float sink[32] = {};
  int64_t rounds = 64;
  for (;; rounds *= 2) {
    const Stopwatch watch;
    (void)loop(rounds, sink);
    if (watch.seconds() > 5e-4) break;
  }
  const int64_t shares = int64_t{8} * pool.threads();
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    std::vector<double> operations(static_cast<size_t>(shares));
    const Stopwatch watch;
    pool.parallel_for(shares, 1, [&](int64_t begin, int64_t end, int) {
      alignas(64) float own[32] = {};
      for (int64_t i = begin; i < end; ++i) operations[static_cast<size_t>(i)] = loop(rounds, own);
    });
    double sum = 0;
    const double seconds = watch.seconds();
    for (const double n : operations) sum += n;
    best = std::max(best, sum / seconds);
  }
  return best;
}

Limits LimitMeter::measure(ThreadPool& pool) const {
  const PeakLoops& p = kernels_.peaks;
  return {measure_read(pool), measure_operations(pool, p.int8), measure_operations(pool, p.bf16),
          measure_operations(pool, p.f32)};
}

uint64_t available_memory() {
  uint64_t available = 0;
  std::ifstream info("/proc/meminfo");
  std::string key;
  for (uint64_t kilobytes; info >> key >> kilobytes; info.ignore(64, '\n'))
    if (key == "MemAvailable:") available = kilobytes * 1024;
  if (const auto left = group_memory()) available = available == 0 ? *left : std::min(available, *left);
  return available;
}

}  // namespace carat
