// Where one layer's keys and values of one sequence lie. The cache itself belongs to the engine.
#pragma once

#include <cstdint>

#include "model/place.h"

namespace carat {

/// Rows are positions; both arrays have room for every position a call appends.
struct KvView {
  uint16_t* k = nullptr;  ///< f16 bits, [positions, kv_heads, head_dim]
  uint16_t* v = nullptr;  ///< f16 bits, [positions, kv_heads, head_dim]
  Place place = Place::cpu;
};

}  // namespace carat
