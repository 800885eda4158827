#include "base/cpu.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace carat {

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx_vnni:
      return "avx_vnni";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Clang before 15 does not know the name "f16c" in __builtin_cpu_supports.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
#if !defined(CARAT_NARROW)
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  // No name for __builtin_cpu_supports before GCC 13.
  const bool avx_vnni = avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
  if (avx512) isas.push_back(Isa::avx512);
  if (avx_vnni) isas.push_back(Isa::avx_vnni);
#endif
  if (avx2) isas.push_back(Isa::avx2);
#endif
  isas.push_back(Isa::portable);
  return isas;
}

Result<Isa> chosen_isa() {
  const auto isas = available_isas();
  const char* wanted = std::getenv("CARAT_ISA");
  if (!wanted || !*wanted) return isas.front();
  std::string names;
  for (Isa isa : isas) {
    if (isa_name(isa) == wanted) return isa;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", isa_name(isa));
  }
  return usage_error("CARAT_ISA={} is not available on this processor; it has {}", wanted, names);
}

}  // namespace carat
