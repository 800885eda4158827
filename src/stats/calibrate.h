// Runs a text through a model and collects statistics of what its matrices read.
//
// The text's sequences are taken in groups; a group goes through the model layer by layer, the hidden states
// of all its tokens in memory, each layer's weights read once per group and given back. So the memory is
// that of one layer, one group (kGroupBytes) and the statistics, whatever the size of model and text, and
// groups are large enough for reading a layer to take less time than computing with it. After each group the
// sums go to a checkpoint file, from which an interrupted run resumes to the same bits: sums are
// added token by token whatever the groups are.
#pragma once

#include <string>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "kernels/kernels.h"
#include "stats/calibration_text.h"
#include "stats/hessian_file.h"
#include "stats/statistics.h"

namespace carat {

/// Hidden states of a group: as many sequences as fit, at least one and at most kGroupSequences.
inline constexpr int64_t kGroupBytes = 256 << 20;
inline constexpr int64_t kGroupSequences = 16;

struct CalibrateOptions {
  ActivationScheme activations = ActivationScheme::bfloat16;
  std::string checkpoint_path;  ///< where an interrupted run leaves its sums; empty: nowhere
  bool resume = false;          ///< from that file, if it is there
  bool discard = false;         ///< or throw it away
  /// Gets the Hessians, if not null; finish() is done. All of the text then goes through the model as one
  /// group, hidden states in memory, and the file that is written takes the checkpoint's place: a resume goes
  /// through all layers again, but adds up no Hessian that is there.
  HessianWriter* hessians = nullptr;
};

/// What calibrate() will say of where its numbers come from.
Result<CalibrationOrigin> calibration_origin(const Checkpoint& checkpoint, const CalibrationText& text,
                                             ActivationScheme activations);

struct Calibration {
  CalibrationStatistics statistics;
  int64_t resumed_sequences = 0;
};

/// The file at checkpoint_path is removed by the caller, once the statistics are safe. Errors: those of
/// loading; bad_data naming a matrix whose input is not finite; usage: a checkpoint is there and neither
/// resume nor discard is set, or it is of another model, text or arithmetic; interruption.
Result<Calibration> calibrate(const Context& context, const Checkpoint& checkpoint,
                              const CalibrationText& text, const CalibrateOptions& options);

}  // namespace carat
