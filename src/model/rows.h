// What the parts of the forward pass do to the rows of a call: sharing them out, finding the segments they
// belong to, adding and showing them.
#pragma once

#include <algorithm>

#include "model/forward.h"

namespace carat {

/// body(first, count) over the tokens, each about `elements` numbers of work. Little work is done by the
/// calling thread: handing out less than a few thousand numbers costs more than it saves.
template <class Body>
void over_tokens(ThreadPool& pool, int64_t tokens, int64_t elements, Body&& body) {
  const int64_t grain = std::max<int64_t>(1, 4096 / elements);
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end, int) { body(begin, end - begin); });
}

/// body(segment, first, count, row) for the pieces of segments that rows [begin, begin + rows) of the call
/// consist of: tokens [first, first + count) of the segment, from that row on.
template <class Body>
void over_segments(std::span<const ForwardSegment> segments, int64_t begin, int64_t rows, Body&& body) {
  int64_t start = 0;  // row of the segment's first token
  for (const ForwardSegment& segment : segments) {
    const int64_t n = static_cast<int64_t>(segment.tokens.size());
    const int64_t first = std::max<int64_t>(0, begin - start);
    const int64_t end = std::min(n, begin + rows - start);
    if (first < end) body(segment, first, end - first, start + first);
    start += n;
  }
}

int64_t count_tokens(std::span<const ForwardSegment> segments);

/// What attention or feed-forward gave, h: [rows, width], joins the residual stream x: its matrix's bias
/// first, then its norm and scale, each where there is one. h is overwritten.
void add_rows(ThreadPool& pool, const Model& model, const std::vector<float>& bias, const NormWeights& post,
              float* x, float* h, int64_t rows);

/// norm(x), written to scratch.h; or x itself where the layer has no such norm. [rows, width]
const float* normed(ThreadPool& pool, const Model& model, const NormWeights& weights, int64_t rows,
                    const float* x, ForwardScratch& scratch);

/// Shows the model's tap, where it has one, what the matrices that read `input` are about to read.
void show_input(const Model& model, int64_t layer, LinearInput input, const float* x, int64_t tokens);

}  // namespace carat
