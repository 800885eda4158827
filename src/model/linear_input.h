// The inputs of a layer's matrices, for whoever wants to see what a model multiplies: calibration, and
// rounders that weigh errors by what they meet.
//
// Matrices that read the same activations share one input: there are four per layer, not seven, and one of
// the output matrix.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {

enum class LinearInput : uint8_t {
  attention,         ///< normed residual stream; q, k and v read it
  attention_output,  ///< the heads' mixed values
  feed_forward,      ///< normed residual stream; gate and up read it
  down,              ///< silu(gate) * up
  output,            ///< the hidden states; the output matrix reads them, or the embedding where it is tied
};
/// Those of every layer, in the order in which a layer computes them.
inline constexpr LinearInput layer_inputs[] = {LinearInput::attention, LinearInput::attention_output,
                                               LinearInput::feed_forward, LinearInput::down};

/// "attention", "attention_output", ...
std::string_view linear_input_name(LinearInput input);
/// The matrices that read it.
std::span<const Role> reader_roles(LinearInput input);
/// Their GGUF names; `layer` is ignored for the output.
std::vector<std::string> reader_names(const ModelConfig& config, LinearInput input, int64_t layer);
/// Its columns.
int64_t input_columns(const ModelConfig& config, LinearInput input);

/// Is shown the input of each product before it is computed.
class InputTap {
 public:
  virtual ~InputTap() = default;
  /// x is [tokens, columns], valid during the call; the tokens are those of the forward pass in its order.
  /// `layer` is 0 for the output. Called by the thread that called forward(), whose pool is free meanwhile.
  virtual void input(int64_t layer, LinearInput input, const float* x, int64_t tokens, int64_t columns) = 0;
};

}  // namespace carat
