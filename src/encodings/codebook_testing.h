// Random codes for tests of codebook encodings.
#pragma once

#include <cstdint>

#include "encodings/codebook.h"

namespace carat {

/// Every code of p, and its scales, uniform over what can be stored. below(n): a random integer in [0, n).
template <class E, class Below>
void randomise_atoms(typename E::Planes& p, Below&& below) {
  constexpr int kEntryBits = E::kVectors * E::kEntryBits;
  for (auto& s : p.scale) s = static_cast<int8_t>(2 * below((E::kScaleHigh + 1) / 2) + 1);
  uint32_t rest = 0;
  for (size_t a = 0; a < p.code.size(); ++a) {
    if constexpr (E::kSigns == Signs::even) {
      rest = even_signs(static_cast<uint32_t>(below(128)));
    } else if constexpr (E::kSigns == Signs::free) {
      rest = static_cast<uint32_t>(below(1 << E::kAtom));
    } else {
      if (!E::kLeafShift || a % (E::kLeaf / E::kAtom) == 0) rest = static_cast<uint32_t>(below(2));
    }
    p.code[a] = rest << kEntryBits | static_cast<uint32_t>(below(1 << kEntryBits));
  }
}

}  // namespace carat
