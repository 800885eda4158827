// What latent attention does before and after attention itself (DeepSeek-V2, section 2.1.2 for the absorbed
// form).
//
//   absorbed    q = [key_expansion of the head, transposed, times its plain part | rotated part]
//               k = [latent | rotated part], v = latent; what comes out times value_expansion of the head
//   otherwise   q = [plain | rotated], k = [plain | rotated], v = value, as in any attention
//
// Values are padded with zeros to the size of keys, which the cache and attention know one of.
#pragma once

#include "model/forward.h"

namespace carat {

/// scratch.q, k and v of n tokens, rotated, from what attention reads, h: [n, width].
void latent_projections(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t n,
                        const float* h, ForwardScratch& scratch);
/// scratch.attended[rows, heads, head_dim] becomes [rows, heads, value].
void latent_values(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                   ForwardScratch& scratch);

}  // namespace carat
