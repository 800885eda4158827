// Where factors and orders of channels can move between tensors without changing what a model computes, and
// the rewrites that move them.
//
// A fold group is a set of channels with who writes and who reads them: a norm's gain and the matrices that
// read the norm; rows of v and columns of the attention output; rows of up and columns of down (arch/family.h
// declares them). Readers * s with writers / s is the same function, and so is the same order of channels on
// both sides where no other tensor reads them.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "arch/family.h"
#include "arch/model_config.h"
#include "containers/checkpoint.h"
#include "stats/statistics.h"
#include "transforms/overlay.h"

namespace carat {

struct FoldGroup {
  std::string name;                  ///< the writer's: "blk.3.attn_norm.weight"
  int64_t channels = 0;              ///< that factors belong to
  std::vector<std::string> readers;  ///< matrices; all have the same columns
  /// Of each column of the readers; one channel has a column in every query head of its group.
  std::vector<int64_t> channel_of_column;

  std::vector<std::string> vectors;     ///< norm gain or bias: entries are channels
  std::vector<std::string> writers;     ///< matrices: rows are channels, and take the factor
  std::vector<std::string> companions;  ///< matrices: rows are channels, and take their order only
  /// Channels may change places inside runs of so many; 0: not at all.
  int64_t permutable = 0;
};

/// All groups of the model, in the order of its layers. The output norm has none where the embedding is the
/// output matrix, which the residual stream starts from.
std::vector<FoldGroup> fold_groups(const ModelConfig& config);
/// The same for a transform that would do nothing without any: a usage error where there are none.
Result<std::vector<FoldGroup>> need_fold_groups(const ModelConfig& config, std::string_view transform);

/// Collects rewrites, then makes them.
class Fold {
 public:
  /// Columns of the readers * s[channel], what writes the channels / s.
  void scale(const FoldGroup& group, const std::vector<double>& s);
  /// Channel i becomes what order[i] was. A group is permuted at most once, before it is scaled.
  void permute(const FoldGroup& group, const std::vector<int64_t>& order);

  /// Lazily: tensors are rewritten as they are read, as F32.
  void apply(Checkpoint& checkpoint);
  /// The same for what the readers were seen to read. To be called before apply().
  void apply(CalibrationStatistics& statistics) const;

 private:
  std::unordered_map<std::string, Overlay> overlays_;
};

}  // namespace carat
