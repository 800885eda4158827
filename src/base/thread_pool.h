// A pool for work that is split over outputs, never over sums, so that results do not depend on how many
// threads there are or which of them took what.
//
// A job is `count` independent items, claimed in chunks of `grain`. Each thread goes through a share of its
// own in order, so that what it reads lies one after the other in memory, and then takes from the end of
// others' shares, so that uneven cores balance. Workers spin for a short time after a job, because in
// decoding the next one comes within microseconds, and park on a condition variable after that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace carat {

class ThreadPool {
 public:
  /// `threads` >= 1 counts the calling thread; 0 means usable_processors(). Where the system grants fewer,
  /// the pool has those: threads() tells.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// Calls body(begin, end, thread) on disjoint ranges covering [0, count); thread is in [0, threads()).
  /// Returns when all are done. Not reentrant; one caller at a time. The body must not throw.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    run(
        count, grain,
        [](void* self, int64_t begin, int64_t end, int thread) {
          (*static_cast<std::remove_reference_t<Body>*>(self))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Trampoline = void (*)(void*, int64_t, int64_t, int);
  void run(int64_t count, int64_t grain, Trampoline call, void* body);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Processors this process may use, >= 1: by affinity, or by its control groups' quota (rounded up) if less.
int usable_processors();

}  // namespace carat
