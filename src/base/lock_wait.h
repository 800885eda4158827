// Locks of processes that are about to end.
//
// A process that was killed is still there when kill() returns: until the system has taken its memory back
// and its last write to the disk is done, which can take seconds, its locks are held. Whoever starts in that
// moment to go on with its work (a script that kills and resumes does) should find them free.
#pragma once

#include <chrono>
#include <thread>

namespace carat {

inline constexpr std::chrono::milliseconds kLockPatience{3000};

/// Calls `try_lock`, which returns true with the lock and false where somebody has it, until it is true or
/// kLockPatience has passed.
template <class TryLock>
bool wait_for_lock(TryLock&& try_lock) {
  const auto end = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    if (try_lock()) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace carat
