// Everything that the files of this folder and simd/<isa>.h use from outside. It must be included before a
// target region opens (simd/target.h says why); the files themselves include nothing.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "encodings/all.h"
#include "kernels/kernel_table.h"
#include "simd/sixteen_rows.h"
#include "simd/target.h"
