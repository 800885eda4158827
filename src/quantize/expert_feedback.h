// Error feedback for the experts of a layer: each of their matrices is rounded with the Hessian of the tokens
// that are routed to its expert.
//
// Hessians are measured for one expert at a time, from the residual stream of the whole calibration text as
// it is before the feed-forward: the expert's tokens are gathered there, normed, and, for what down reads,
// taken through its gate and up. So a mixture needs no more Hessians in memory than a dense layer, one,
// whatever the number of experts. Of gate and up, which read the same and are rounded one after the other,
// the factors are kept from the one to the other up to a limit; those of experts beyond it are made twice.
// Rejected: Hessians of many experts in one pass (128 of 2048 columns take 2 GB before the first is
// factored), and what down reads kept for all tokens (larger than the stream by experts used * feed-forward /
// width).
//
// An expert may get fewer tokens than its matrices have columns. What a Hessian then says of pairs of columns
// is mostly chance, which feedback would follow to a greater loss than without any; so it is drawn to its
// diagonal by noise_share() where that is more than the options ask for.
//
// Memory: 8 bytes per token and expert used; one Hessian and what factoring it takes (hessian.h); kGramTokens
// rows through one expert; kept factors.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "model/forward.h"
#include "quantize/walk_feedback.h"

namespace carat {

/// Bytes of factors that are kept between two tensors that read the same.
inline constexpr uint64_t kKeptFactorBytes = uint64_t{1} << 30;

/// The share of what a Hessian says of pairs of columns that as many tokens say of columns that have nothing
/// to do with each other: p (p - 1) / tokens over the sum of its squared correlations, p columns with
/// anything on the diagonal; 0 to 1. (Schaefer and Strimmer 2005, section 2.4, with the correlations'
/// variance where there is none, 1 / tokens. Tokens of one text being alike, it is rather too small.) Both
/// triangles are there.
double noise_share(ThreadPool& pool, std::span<const float> hessian, int64_t columns, int64_t tokens);

/// The factor of one expert's Hessian, over `tokens` tokens: drawn to its diagonal by noise_share() where
/// that is more than options.shrink, which becomes what was used; that of the unit matrix where there are no
/// tokens. `hessian` [columns, columns], both triangles, is spent. Errors: as prepare_feedback().
Result<FeedbackFactor> expert_factor(const Context& context, const KernelTable& kernels,
                                     std::vector<float>& hessian, int64_t columns, int64_t tokens,
                                     FeedbackOptions& options);

class ExpertFeedback {
 public:
  ExpertFeedback(const KernelTable& kernels, const WalkFeedback& options,
                 uint64_t kept_bytes = kKeptFactorBytes)
      : kernels_(kernels), options_(options), kept_bytes_(kept_bytes) {}

  /// Goes to a mixture layer: x[tokens, width] is the residual stream before its feed-forward, which stays
  /// where and as it is until the next call. The router of `w` says which expert gets what.
  Status enter(const Context& context, const Model& model, const LayerWeights& w, int64_t layer,
               std::span<const float> x);
  /// The layer entered last; -1 before the first.
  int64_t layer() const { return layer_; }

  /// What rounding one expert's matrix goes by.
  struct Matrix {
    int64_t tokens = 0;           ///< that are routed to it
    std::vector<float> diagonal;  ///< of H; empty where there are no tokens
    double shrink = 0;            ///< FeedbackOptions::shrink, or noise_share() where that is more
    FeedbackFactor factor;        ///< of H, or, without tokens, of the unit matrix: columns count alike
  };
  /// Of a matrix that reads `input` (experts or experts_down) and becomes `target`; for experts_down with the
  /// expert's gate and up as `w` has them now. Valid until the next call. Errors: as prepare_feedback();
  /// interruption.
  Result<const Matrix*> matrix(const Context& context, const Model& model, const LayerWeights& w,
                               LinearInput input, int64_t expert, const Encoding& target);

 private:
  std::span<const int32_t> tokens_of(int64_t expert) const;
  /// hessian_ = sum of x x^T over what the expert's matrices read, both triangles.
  Status measure(const Context& context, const Model& model, const LayerWeights& w, LinearInput input,
                 int64_t expert, int64_t columns);

  const KernelTable& kernels_;
  const WalkFeedback options_;
  const uint64_t kept_bytes_;

  int64_t layer_ = -1;
  std::span<const float> x_;
  std::vector<int64_t> first_;   ///< [experts + 1] where an expert's tokens begin
  std::vector<int32_t> tokens_;  ///< by expert, in ascending order
  ForwardScratch scratch_;
  std::vector<float> rows_;  ///< gathered
  std::vector<float> hessian_;

  std::map<int64_t, Matrix> kept_;  ///< by expert, of LinearInput::experts
  uint64_t kept_size_ = 0;
  Matrix last_;  ///< where it was not kept
};

}  // namespace carat
