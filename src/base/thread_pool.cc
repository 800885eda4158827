#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

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
  if (std::FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    long quota = 0, period = 0;
    if (std::fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
      count = std::min(count, static_cast<int>(std::max(1L, (quota + period - 1) / period)));
    std::fclose(f);
  }
  return std::max(1, count);
}

struct ThreadPool::Impl {
  // The job, written by the caller before `generation` is raised.
  Trampoline call = nullptr;
  void* body = nullptr;
  int64_t count = 0, grain = 1;

  alignas(64) std::atomic<uint64_t> generation{0};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<int> running{0};
  std::atomic<bool> stop{false};
  std::atomic<int> parked{0};
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;

  void claim(int thread) {
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      call(body, begin, std::min(count, begin + grain), thread);
    }
  }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      for (int i = 0; i < kSpins && generation.load(std::memory_order_acquire) == seen; ++i) relax();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        parked.fetch_add(1);
        wake.wait(lock, [&] { return generation.load() != seen; });
        parked.fetch_sub(1);
      }
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_relaxed)) return;
      claim(thread);
      running.fetch_sub(1, std::memory_order_release);
    }
  }

  void announce() {
    generation.fetch_add(1);  // sequentially consistent: a worker either sees it or has raised `parked`
    if (parked.load() > 0) {
      { std::lock_guard lock(mutex); }
      wake.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  if (threads <= 0) threads = usable_processors();
  for (int t = 1; t < threads; ++t) impl_->workers.emplace_back([this, t] { impl_->work(t); });
}

ThreadPool::~ThreadPool() {
  impl_->stop = true;
  impl_->announce();
  for (auto& w : impl_->workers) w.join();
}

int ThreadPool::threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::run(int64_t count, int64_t grain, Trampoline call, void* body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (impl_->workers.empty() || count <= grain) {
    call(body, 0, count, 0);
    return;
  }
  impl_->call = call;
  impl_->body = body;
  impl_->count = count;
  impl_->grain = grain;
  impl_->next.store(0, std::memory_order_relaxed);
  impl_->running.store(static_cast<int>(impl_->workers.size()), std::memory_order_relaxed);
  impl_->announce();
  impl_->claim(0);
  for (int spins = 0; impl_->running.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins)
      relax();
    else
      std::this_thread::yield();
  }
}

}  // namespace carat
