// Calibration text for tests: tokens without meaning.
#pragma once

#include "base/random.h"
#include "stats/calibration_text.h"

namespace carat::testing {

/// Without a digest, which is the caller's to choose.
inline CalibrationText random_text(int64_t sequences, int64_t length, int64_t vocabulary, uint64_t seed) {
  CalibrationText text;
  text.context = length;
  text.names = {"random"};
  Random random(seed);
  for (int64_t i = 0; i < sequences; ++i) {
    std::vector<TokenId>& tokens = text.sequences.emplace_back(static_cast<size_t>(length));
    for (TokenId& t : tokens) t = static_cast<TokenId>(random.next() % static_cast<uint64_t>(vocabulary));
  }
  return text;
}

}  // namespace carat::testing
