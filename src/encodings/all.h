// THE lists of encodings carat can compute with. A new one is a header in this folder and its name in one of
// them; names, GGUF ids, sizes, kernel tables and typed tests follow.
#pragma once

#include <cstddef>
#include <type_traits>

#include "encodings/bf16.h"
#include "encodings/encoding.h"
#include "encodings/f16.h"
#include "encodings/f32.h"
#include "encodings/fp8.h"
#include "encodings/integers.h"
#include "encodings/iq1_m.h"
#include "encodings/iq1_s.h"
#include "encodings/iq2_s.h"
#include "encodings/iq2_xs.h"
#include "encodings/iq2_xxs.h"
#include "encodings/iq3_s.h"
#include "encodings/iq3_xxs.h"
#include "encodings/iq4_nl.h"
#include "encodings/iq4_xs.h"
#include "encodings/mxfp4.h"
#include "encodings/nf4.h"
#include "encodings/nvfp4.h"
#include "encodings/q2_k.h"
#include "encodings/q3_k.h"
#include "encodings/q4_0.h"
#include "encodings/q4_1.h"
#include "encodings/q4_k.h"
#include "encodings/q5_0.h"
#include "encodings/q5_1.h"
#include "encodings/q5_k.h"
#include "encodings/q6_k.h"
#include "encodings/q8_0.h"
#include "encodings/tq1_0.h"
#include "encodings/tq2_0.h"

namespace carat {

template <class... E>
struct EncodingList {
  static constexpr size_t kCount = sizeof...(E);
  /// Calls f.template operator()<E>() for each, in order.
  template <class F>
  static constexpr void for_each(F&& f) {
    (f.template operator()<E>(), ...);
  }
  /// The position of one of them.
  template <class X>
  static constexpr size_t index_of() {
    size_t i = 0, found = kCount;
    ((std::is_same_v<X, E> ? found = i : found, ++i), ...);
    return found;
  }
};

using AllEncodings =
    EncodingList<F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
                 TQ1_0, TQ2_0, MXFP4, NVFP4, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1_S, IQ1_M>;

/// Kinds whose group is chosen at run time (grouped.h).
using GroupedKinds =
    EncodingList<INT2, INT3, INT4, INT8, INT2_ASYM, INT3_ASYM, INT4_ASYM, INT8_ASYM, FP8, NF4>;

/// How long tables by kind are, and the place of one in them.
inline constexpr size_t kKinds = AllEncodings::kCount + GroupedKinds::kCount;
template <class E>
constexpr size_t kind_of() {
  if constexpr (E::kGrouped)
    return AllEncodings::kCount + GroupedKinds::index_of<E>();
  else
    return AllEncodings::index_of<E>();
}

/// The run-time face of one that is not grouped.
template <class E>
const Encoding& encoding_of() {
  static_assert(AllEncodings::index_of<E>() < AllEncodings::kCount);
  return *all_encodings()[AllEncodings::index_of<E>()];
}

}  // namespace carat
