// Gram matrices of activations: the second-order statistics that GPTQ and its kin weigh errors by.
//
// The sum over tokens is a matrix product of the transposed activations with themselves, computed by the
// kernels of the forward pass, panel by panel of columns, lower triangle only; likewise that of two sets of
// activations with each other, all of it. Rejected: OpenBLAS, which is as fast (both reach 95 % of the peak
// of a Zen 4 core), but whose sums depend on the core type it finds.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace carat {

/// h[i, j] += sum over t of x[t, i] * x[t, j], for j <= i; what lies above the diagonal is not touched.
/// x is [tokens, columns], h [columns, columns]. With ActivationScheme::bfloat16, x is rounded to that; with
/// any other it is not. Tokens are taken kGramTokens at a time, each time float sums (docs/numerics.md:
/// products with float activations, or of bf16 pairs) that are added to h: a call for many tokens is a
/// sequence of calls for that many each, and many at once are faster. Work is split over parts of h, so that
/// results do not depend on threads. Takes 4 * columns * kGramTokens bytes of memory, or half of that.
void accumulate_gram(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme, const float* x,
                     int64_t tokens, int64_t columns, float* h);
inline constexpr int64_t kGramTokens = 1024;

/// h[i, j] += sum over t of a[t, i] * b[t, j], all of it: a [tokens, rows], b [tokens, columns], h [rows,
/// columns]. Otherwise as accumulate_gram(), with as much memory for each.
void accumulate_cross_gram(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme,
                           const float* a, const float* b, int64_t tokens, int64_t rows, int64_t columns,
                           float* h);

/// Copies the lower triangle to the upper one.
void mirror_gram(ThreadPool& pool, float* h, int64_t columns);

}  // namespace carat
