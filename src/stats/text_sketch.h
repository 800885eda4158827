// A small sample of which token sequences a text holds, by which another text can be asked how much of it was
// in the first. It travels with what was calibrated, so that whoever evaluates is told when his questions
// were in the calibration text, without anybody keeping that text.
//
// Every run of kSketchGram tokens is hashed; the kSketchSize smallest distinct hashes are kept (a bottom-k
// sketch, Broder 1997): a uniform sample of the runs, whatever the text's size, and sketches of several texts
// merge. Of another text, the runs whose hashes are below the largest one kept are looked up: the share that
// is found estimates the share of the other text that is in the first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "containers/metadata.h"
#include "text/tokenizer.h"

namespace carat {

/// Runs of 13, as published decontaminations take them (words there; Brown et al. 2020, appendix C).
inline constexpr size_t kSketchGram = 13;
inline constexpr size_t kSketchSize = 2048;

/// Sorted, distinct, at most kSketchSize; below 2^63, so that any integer type of a file holds them.
using TextSketch = std::vector<int64_t>;

void add_to_sketch(std::span<const TokenId> tokens, TextSketch& sketch);
void merge_sketch(const TextSketch& other, TextSketch& into);

struct TextOverlap {
  int64_t looked_up = 0;  ///< distinct runs of the other text that the sample could hold
  int64_t found = 0;
  double share() const {
    return looked_up > 0 ? static_cast<double>(found) / static_cast<double>(looked_up) : 0;
  }
};
/// Looks up one piece of the other text and adds to `overlap`.
void look_up(const TextSketch& sketch, std::span<const TokenId> tokens, TextOverlap& overlap);

/// As carat.calibration.sketch, in statistics and in models made with them; absent: empty. bad_data for what
/// is no sketch.
Result<TextSketch> read_sketch(const Metadata& metadata);
void write_sketch(const TextSketch& sketch, Metadata& metadata);

}  // namespace carat
