// Takes the sequences of a calibration text through one layer at a time, as forward() would take them through
// all: short ones several to a pass, long ones in pieces, so that a pass has at most max_forward_tokens.
//
// Only one layer is at work at a time, so that there is one layer's cache of keys and values, reused for
// every layer and every pass. That is why the pieces of a sequence come one after another.
#pragma once

#include <functional>

#include "base/context.h"
#include "model/forward.h"
#include "stats/calibration_text.h"

namespace carat {

/// usage error or bad_data if the model cannot read the text: none there, sequences longer than its context,
/// tokens outside its vocabulary. `source` names the model.
Status check_calibration_text(const std::string& source, const ModelConfig& config,
                              const CalibrationText& text);

class SequencePasses {
 public:
  /// `sequences` are all of one length, and stay where they are as long as this is used. Where rotations
  /// depend on the size of the context (ModelConfig::use_context), that is their length.
  SequencePasses(const ModelConfig& config, std::span<const std::vector<TokenId>> sequences);

  int64_t tokens() const { return static_cast<int64_t>(sequences_.size()) * length_; }

  /// The tokens of a pass. Hidden states of all sequences lie in [tokens(), ...] arrays, sequence after
  /// sequence.
  struct Pass {
    std::span<const ForwardSegment> segments;
    int64_t first;  ///< row of its first token
    int64_t rows;   ///< tokens of it
  };
  /// body(pass) for all in turn, after begin_forward() on `scratch`, and on a second one where two models are
  /// looked at side by side. Errors: those of body; interruption.
  Status each(const Context& context, ForwardScratch& scratch, const std::function<Status(const Pass&)>& body,
              ForwardScratch* second = nullptr);

 private:
  ModelConfig config_;
  const std::span<const std::vector<TokenId>> sequences_;
  const int64_t length_;   ///< of a sequence
  const int64_t at_once_;  ///< sequences of a pass
  std::vector<uint8_t> cache_;
  std::vector<KvView> views_;  ///< [at_once, layers]
};

}  // namespace carat
