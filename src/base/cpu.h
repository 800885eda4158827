// Which instruction sets this processor has, and which one carat uses.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

enum class Isa { portable, avx2, avx_vnni, avx512 };

std::string_view isa_name(Isa isa);

/// Those this processor (and its operating system) can run, best first; portable is always the last.
/// avx2 means AVX2 + FMA + F16C; avx_vnni these and AVX-VNNI; avx512 means AVX-512 F, BW, VL, DQ and VNNI.
std::vector<Isa> available_isas();

/// The best available one, or the one named by the environment variable CARAT_ISA; an unknown or
/// unavailable name there is an error.
Result<Isa> chosen_isa();

}  // namespace carat
