// Opening and closing a region of code compiled for a wider instruction set than the rest of the program.
//
// A region opens after all #includes, so that no inline function of the standard library is compiled inside
// it: the linker would be free to keep that wide copy for everybody, and the program would die on older
// processors before it could choose. For the same reason everything inside lives in unnamed namespaces, and
// tools/check_isa_symbols.py refuses objects that define weak symbols. Compiler flags per file
// (-mavx512f) were rejected because they cover the included headers too.
//
// A file that opens a region includes kernels/generic/prelude.h first, then, inside, one simd/<isa>.h and the
// generic/ headers it instantiates. Those include nothing, except that both x86 headers include
// simd/rows_256.h, which includes nothing.
#pragma once

#define CARAT_ALWAYS_INLINE inline __attribute__((always_inline))
/// The same for a lambda, between its parameters and its body.
#define CARAT_INLINE_LAMBDA __attribute__((always_inline))

#define CARAT_AVX2_FEATURES "avx2,fma,f16c"
#define CARAT_AVX_VNNI_FEATURES "avx2,fma,f16c,avxvnni"
#define CARAT_AVX512_FEATURES "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"

#define CARAT_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define CARAT_BEGIN_TARGET(features) \
  CARAT_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define CARAT_END_TARGET CARAT_PRAGMA(clang attribute pop)
/// Before a loop with a small constant count whose body indexes arrays that must stay in registers.
#define CARAT_UNROLL CARAT_PRAGMA(clang loop unroll(full))
#else
#define CARAT_BEGIN_TARGET(features) CARAT_PRAGMA(GCC push_options) CARAT_PRAGMA(GCC target(features))
#define CARAT_END_TARGET CARAT_PRAGMA(GCC pop_options)
#define CARAT_UNROLL CARAT_PRAGMA(GCC unroll 16)
#endif

#define CARAT_BEGIN_AVX2 CARAT_BEGIN_TARGET(CARAT_AVX2_FEATURES)
#define CARAT_BEGIN_AVX_VNNI CARAT_BEGIN_TARGET(CARAT_AVX_VNNI_FEATURES)
#define CARAT_BEGIN_AVX512 CARAT_BEGIN_TARGET(CARAT_AVX512_FEATURES)
