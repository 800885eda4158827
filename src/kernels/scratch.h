// Memory that a thread keeps between calls, so that a kernel does not meet fresh pages each time.
#pragma once

#include <cstdint>
#include <memory>

namespace carat {

/// `count` elements aligned to 64 bytes; what they hold is not preserved. Buffers of different kTag differ.
template <class T, int kTag>
T* scratch(int64_t count) {
  struct Buffer {
    std::unique_ptr<T[]> data;
    int64_t capacity = 0;
  };
  thread_local Buffer buffer;
  constexpr int64_t kPadding = 64 / int64_t{sizeof(T)};
  if (buffer.capacity < count) {
    buffer.data.reset();
    buffer.data = std::make_unique_for_overwrite<T[]>(static_cast<size_t>(count + kPadding));
    buffer.capacity = count;
  }
  const auto address = reinterpret_cast<uintptr_t>(buffer.data.get());
  return buffer.data.get() + (64 - address % 64) % 64 / sizeof(T);
}

}  // namespace carat
