// What the machine can do at the moment, measured: the roof under which the speed of a model is read.
//
// A virtual machine's limits move within seconds (neighbours, clock rates), so that figures taken once say
// little: a measurement takes the limits right before and right after, and compares with their mean.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace carat {

struct Limits {
  double read = 0;                     ///< bytes per second from memory
  double int8 = 0, bf16 = 0, f32 = 0;  ///< operations per second, a multiply-add as two; 0 = no instruction
};

Limits mean(const Limits& a, const Limits& b);

/// Holds the memory that is read: far more than caches hold.
class LimitMeter {
 public:
  /// `bytes` of memory, touched at once; 0 chooses (512 MB, less on a small machine).
  explicit LimitMeter(const KernelTable& kernels, uint64_t bytes = 0);

  const KernelTable& kernels() const { return kernels_; }
  /// With all threads of the pool; about 0.15 s.
  Limits measure(ThreadPool& pool) const;
  double measure_read(ThreadPool& pool) const;

 private:
  struct Free {
    uint64_t bytes;
    void operator()(uint8_t* p) const;
  };
  double measure_operations(ThreadPool& pool, double (*loop)(int64_t, float*)) const;

  const KernelTable& kernels_;
  std::unique_ptr<uint8_t, Free> memory_{nullptr, Free{0}};
  uint64_t bytes_ = 0;
};

/// Memory that programs can have without swapping, the control groups' limits included; 0 where unknown.
uint64_t available_memory();

}  // namespace carat
