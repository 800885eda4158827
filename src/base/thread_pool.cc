#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/control_groups.h"

namespace carat {
namespace {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// About 50 microseconds of pauses: longer than the gap between two products of a decode step, short
/// enough that an idle program costs nothing.
constexpr int kSpins = 2000;

}  // namespace

int usable_processors() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  if (const auto quota = group_processors(); quota && *quota < count)
    count = static_cast<int>(std::ceil(*quota));
  return std::max(1, count);
}

// A job is published by storing how many of its chunks are unclaimed; whoever takes one off a positive
// count owns a chunk of the job that is current at that moment, because no job ends (and none begins)
// while a claimed chunk is unfinished. So nobody has to check in: a worker that was descheduled between
// two jobs holds nothing up, and if it wakes late it finds either nothing or a chunk of a newer job.
// (The first version waited for every worker to report each job; with more busy programs than cores,
// each job then lasted a scheduler's time slice.)
//
// Which chunk it is, is settled after that: the next of the thread's own share, or else the last of another's
// share. There is one for everybody who took one off the count.
struct ThreadPool::Impl {
  // The job. Written by the caller while nothing is claimed, read only by owners of a chunk.
  Trampoline call = nullptr;
  void* body = nullptr;
  int64_t count = 0, grain = 1, chunks = 0;

  /// The chunks of a thread's share that are left: the first in the upper, the end in the lower half.
  struct alignas(64) Share {
    std::atomic<uint64_t> left{0};
  };
  std::vector<Share>
      shares;  // one per thread that was asked for; those of threads that never began stay empty

  alignas(64) std::atomic<int64_t> unclaimed{0};  // may dip below 0
  alignas(64) std::atomic<int64_t> unfinished{0};
  alignas(64) std::atomic<int> parked{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;

  explicit Impl(int threads) : shares(static_cast<size_t>(threads)) {}

  void share_out() {
    const auto threads = static_cast<int64_t>(workers.size()) + 1;
    for (int64_t t = 0; t < threads; ++t) {
      const auto first = static_cast<uint64_t>(chunks * t / threads);
      const auto end = static_cast<uint64_t>(chunks * (t + 1) / threads);
      shares[static_cast<size_t>(t)].left.store(first << 32 | end, std::memory_order_relaxed);
    }
  }
  /// A chunk of the share, or -1.
  static int64_t take(Share& share, bool from_end) {
    uint64_t left = share.left.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t first = left >> 32, end = left & 0xffffffffu;
      if (first >= end) return -1;
      const uint64_t rest = from_end ? left - 1 : left + (uint64_t{1} << 32);
      if (share.left.compare_exchange_weak(left, rest, std::memory_order_relaxed))
        return static_cast<int64_t>(from_end ? end - 1 : first);
    }
  }
  int64_t take(int thread) {
    if (const int64_t own = take(shares[static_cast<size_t>(thread)], false); own >= 0) return own;
    for (size_t other = static_cast<size_t>(thread);;) {
      other = (other + 1) % shares.size();
      if (const int64_t chunk = take(shares[other], true); chunk >= 0) return chunk;
    }
  }

  /// Works on chunks of the current job until none is unclaimed.
  void claim(int thread) {
    int64_t finished = 0;
    while (unclaimed.load(std::memory_order_relaxed) > 0) {
      if (unclaimed.fetch_sub(1, std::memory_order_acquire) <= 0) break;
      const int64_t begin = take(thread) * grain;
      call(body, begin, std::min(count, begin + grain), thread);
      ++finished;
    }
    if (finished > 0) unfinished.fetch_sub(finished, std::memory_order_release);
  }

  bool idle() const { return unclaimed.load() <= 0 && !stop.load(); }

  void work(int thread) {
    while (!stop.load(std::memory_order_relaxed)) {
      for (int i = 0; i < kSpins && idle(); ++i) relax();
      if (idle()) {
        std::unique_lock lock(mutex);
        parked.fetch_add(1);
        wake.wait(lock, [&] { return !idle(); });
        parked.fetch_sub(1);
      }
      claim(thread);
    }
  }

  // What a worker waits for was stored sequentially consistent before this: it has either seen it or
  // has raised `parked`.
  void wake_parked() {
    if (parked.load() == 0) return;
    { std::lock_guard lock(mutex); }
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int threads)
    : impl_(std::make_unique<Impl>(threads > 0 ? threads : usable_processors())) {
  const size_t wanted = impl_->shares.size() - 1;
  impl_->workers.reserve(wanted);
  try {
    while (impl_->workers.size() < wanted)
      impl_->workers.emplace_back(
          [this, t = static_cast<int>(impl_->workers.size()) + 1] { impl_->work(t); });
  } catch (const std::exception&) {
    // The system grants no more (a limit on processes, or on memory for stacks): the work is done by those
    // there are.
  }
}

ThreadPool::~ThreadPool() {
  impl_->stop = true;
  impl_->wake_parked();
  for (auto& w : impl_->workers) w.join();
}

int ThreadPool::threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::run(int64_t count, int64_t grain, Trampoline call, void* body) {
  if (count <= 0) return;
  constexpr int64_t kMostChunks = int64_t{1} << 31;
  grain = std::max({int64_t{1}, grain, (count + kMostChunks - 1) / kMostChunks});
  if (impl_->workers.empty() || count <= grain) {
    call(body, 0, count, 0);
    return;
  }
  impl_->call = call;
  impl_->body = body;
  impl_->count = count;
  impl_->grain = grain;
  impl_->chunks = (count + grain - 1) / grain;
  impl_->share_out();
  impl_->unfinished.store(impl_->chunks, std::memory_order_relaxed);
  impl_->unclaimed.store(impl_->chunks);
  impl_->wake_parked();
  impl_->claim(0);
  for (int spins = 0; impl_->unfinished.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins)
      relax();
    else
      std::this_thread::yield();
  }
}

}  // namespace carat
