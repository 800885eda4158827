// THE list of encodings carat can compute with. A new one is a header in this folder and its name in the
// list; names, GGUF ids, sizes, kernel tables and typed tests follow from it.
#pragma once

#include <cstddef>
#include <type_traits>

#include "encodings/bf16.h"
#include "encodings/encoding.h"
#include "encodings/f16.h"
#include "encodings/f32.h"
#include "encodings/iq4_nl.h"
#include "encodings/iq4_xs.h"
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
    EncodingList<F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS>;

/// The run-time face of one of them.
template <class E>
const Encoding& encoding_of() {
  static_assert(AllEncodings::index_of<E>() < AllEncodings::kCount);
  return *all_encodings()[AllEncodings::index_of<E>()];
}

}  // namespace carat
