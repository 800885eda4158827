// What goes through every long call: who computes, whether to stop, and whom to tell how far it is.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/profile.h"
#include "base/thread_pool.h"

namespace carat {

/// Set from a signal handler or another thread; polled between units of work.
class Cancellation {
 public:
  void request() { flag_.store(true, std::memory_order_relaxed); }
  bool requested() const { return flag_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> flag_{false};
};

/// Told of progress; implementations draw bars or print lines. The default is silent.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A new stage of `total` units (say weights, or tokens) begins.
  virtual void begin(std::string_view stage, std::string_view unit, uint64_t total) {
    (void)stage, (void)unit, (void)total;
  }
  /// `done` units of the stage are complete; `item` says what is being worked on.
  virtual void update(uint64_t done, std::string_view item) { (void)done, (void)item; }
  virtual void end() {}
  /// A sentence the user should see (a warning, a recorded fallback).
  virtual void note(std::string_view sentence) { (void)sentence; }
};

struct Context {
  ThreadPool& pool;
  const Cancellation& cancellation;
  Progress& progress;
  Profile* profile = nullptr;  ///< told where the time of forward passes goes

  /// An Error with Code::interrupted once cancellation is requested.
  Status check() const {
    if (cancellation.requested()) return error(Code::interrupted, "interrupted");
    return {};
  }
};

}  // namespace carat
