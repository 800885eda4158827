#include "quantize/stored_hessians.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "kernels/kernel_table.h"
#include "quantize/expert_feedback.h"
#include "quantize/hessian_tap.h"

namespace carat {
namespace {

class StoredGuide final : public Guide {
 public:
  StoredGuide(const Checkpoint& checkpoint, const KernelTable& kernels, const HessianFile& hessians,
              std::span<const Encoding* const> targets, const WalkFeedback& options, bool allow_unseen)
      : checkpoint_(checkpoint),
        kernels_(kernels),
        hessians_(hessians),
        targets_(targets),
        options_(options),
        allow_unseen_(allow_unseen) {
    for (size_t p = 0; p < hessians.places().size(); ++p)
      for (const std::string& name : hessians.places()[p].readers) places_[name] = p;
  }

  Status begin(const Context&, size_t) override {
    note_ = {};
    return {};
  }
  Result<ColumnGuide> matrix(const Context& context, size_t tensor, int64_t matrix) override {
    const std::string& name = checkpoint_.tensors[tensor].name;
    const auto at = places_.find(name);
    if (at == places_.end()) return error(Code::internal, "{} has no Hessian in {}", name, hessians_.path());
    if (Status known = learn(context, at->second, matrix, *targets_[tensor]); !known)
      return std::move(known).error().within(name).within(hessians_.path());
    const auto tokens = static_cast<int64_t>(hessians_.tokens(at->second, matrix));
    note_.least_tokens = matrix == 0 ? tokens : std::min(note_.least_tokens, tokens);
    note_.tokens = std::max(note_.tokens, tokens);
    note_.unseen += tokens == 0;
    note_.shrink = std::max(note_.shrink, shrink_);
    note_.damping = std::max(note_.damping, factor_.damping);
    return ColumnGuide{importance_, &factor_};
  }
  Status rounded(const Context&, size_t, int64_t, int64_t, Bytes) override { return {}; }
  Result<GuideNote> finished(const Context&, size_t) override { return std::exchange(note_, {}); }
  Status take_over(const Context&, size_t, Bytes) override { return {}; }

 private:
  /// Factor and importance of one of an input's matrices, for a tensor that becomes `target`.
  Status learn(const Context& context, size_t place, int64_t matrix, const Encoding& target) {
    const HessianPlace& p = hessians_.places()[place];
    FeedbackOptions wanted = options_.at(p.input, target);
    if (known_ && place_ == place && matrix_ == matrix && block_ == wanted.block && leaf_ == wanted.leaf)
      return {};
    known_ = false;
    const int64_t n = p.columns;
    const auto tokens = static_cast<int64_t>(hessians_.tokens(place, matrix));
    if (tokens == 0 && per_expert(p.input) && !allow_unseen_)
      return usage_error(
          "no token went to expert {}, so that nothing says what its columns have in common; calibrate on "
          "more text, or give leave to round such experts as without data (--allow-fallback)",
          matrix);
    std::vector<float> triangle(static_cast<size_t>(p.triangle()));
    CARAT_DO(hessians_.read(place, matrix, triangle.data()));
    std::vector<float> square(static_cast<size_t>(n * n));
    for (int64_t i = 0, at = 0; i < n; ++i)
      for (int64_t j = 0; j <= i; ++j, ++at) square[j * n + i] = square[i * n + j] = triangle[at];
    importance_ = tokens > 0 ? diagonal_of(square, n) : std::vector<float>();
    CARAT_TRY(factor_, per_expert(p.input) ? expert_factor(context, kernels_, square, n, tokens, wanted)
                                           : prepare_feedback(context, kernels_, square, n, wanted));
    shrink_ = wanted.shrink;
    place_ = place, matrix_ = matrix, block_ = wanted.block, leaf_ = wanted.leaf;
    known_ = true;
    return {};
  }

  const Checkpoint& checkpoint_;
  const KernelTable& kernels_;
  const HessianFile& hessians_;
  const std::span<const Encoding* const> targets_;
  const WalkFeedback options_;
  const bool allow_unseen_;
  std::unordered_map<std::string, size_t> places_;  ///< by the names of matrices

  bool known_ = false;  ///< factor_ and importance_, of:
  size_t place_ = 0;
  int64_t matrix_ = 0, block_ = 0, leaf_ = 0;
  double shrink_ = 0;
  FeedbackFactor factor_;
  std::vector<float> importance_;
  GuideNote note_;
};

}  // namespace

Result<std::unique_ptr<Guide>> make_stored_guide(const Checkpoint& checkpoint, const HessianFile& hessians,
                                                 std::span<const Encoding* const> targets,
                                                 const WalkFeedback& options, bool allow_unseen) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  return std::unique_ptr<Guide>(
      std::make_unique<StoredGuide>(checkpoint, *kernels, hessians, targets, options, allow_unseen));
}

}  // namespace carat
