// What must hold whatever the fuzzer finds; a violation ends the program so that libFuzzer keeps the input.
#pragma once

#include <cstdlib>

#include "containers/checkpoint.h"

namespace carat::fuzz {

inline void check(bool holds) {
  if (!holds) std::abort();
}

/// A reader either returns one sentence and an honest code, or a checkpoint that can be read in full.
inline void check_checkpoint(const Result<Checkpoint>& result) {
  if (!result.ok()) {
    check(result.error().code == Code::bad_data || result.error().code == Code::no_input);
    check(!result.error().message.empty() && result.error().message.size() < 2000);
    return;
  }
  uint64_t total = 0;
  for (const Tensor& t : result->tensors) {
    check(result->find(t.name) == &t);
    std::vector<uint8_t> bytes(t.bytes());
    check(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
    total += bytes.size();
    check(t.read_all().ok() == t.encoding->can_decode());
    t.data->release(0, t.rows());
  }
  check(total <= result->file_bytes);
}

}  // namespace carat::fuzz
