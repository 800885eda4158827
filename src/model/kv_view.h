// Where one layer's keys and values of one sequence lie. The cache itself belongs to the engine.
#pragma once

#include <cstdint>

#include "kernels/kv_format.h"
#include "model/place.h"

namespace carat {

/// Has room for every position a call appends, in whole chunks.
struct KvView {
  uint8_t* data = nullptr;  ///< aligned to 64 bytes
  KvFormat format;
  Place place = Place::cpu;
};

}  // namespace carat
