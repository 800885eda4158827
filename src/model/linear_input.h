// The inputs of a layer's matrices, for whoever wants to see what a model multiplies: calibration, and
// rounders that weigh errors by what they meet.
//
// Matrices that read the same activations share one input: there are four per layer, not seven, and one of
// the output matrix. In a mixture of experts, each expert has two of its own, of the tokens it gets; so has
// each head where latent attention is absorbed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {

enum class LinearInput : uint8_t {
  attention,         ///< the residual stream, normed in most families; q, k and v read it
  attention_output,  ///< the heads' mixed values
  feed_forward,      ///< the residual stream likewise; gate and up read it
  down,              ///< activation(gate) * up, or activation(up)
  experts,           ///< rows of feed_forward; the experts' gate and up read it
  experts_down,      ///< the experts' silu(gate) * up
  query_latent,      ///< the vector that queries are products with, normed
  latent,            ///< the vector that keys and values are products with, normed; not where it is absorbed
  key_heads,         ///< where it is: the part of each head's queries that is not rotated
  value_heads,       ///< and each head's mixture of latent vectors
  output,            ///< the hidden states; the output matrix reads them, or the embedding where it is tied
};
/// Those of every layer, in the order in which a layer computes them.
inline constexpr LinearInput layer_inputs[] = {
    LinearInput::attention, LinearInput::attention_output, LinearInput::feed_forward, LinearInput::down,
    LinearInput::experts,   LinearInput::experts_down,     LinearInput::query_latent, LinearInput::latent,
    LinearInput::key_heads, LinearInput::value_heads};

/// "attention", "attention_output", ...
std::string_view linear_input_name(LinearInput input);
/// Whether each expert has its own.
constexpr bool per_expert(LinearInput input) {
  return input == LinearInput::experts || input == LinearInput::experts_down;
}
/// Whether each head has.
constexpr bool per_head(LinearInput input) {
  return input == LinearInput::key_heads || input == LinearInput::value_heads;
}
/// Of how many matrices each tensor that reads it consists: 1, or one for each expert or head.
int64_t input_matrices(const ModelConfig& config, LinearInput input);
/// The matrices that read it, in layers of one kind or another.
std::span<const Role> reader_roles(LinearInput input);
/// GGUF names of those that the layer has; `layer` is ignored for the output.
std::vector<std::string> reader_names(const ModelConfig& config, LinearInput input, int64_t layer);
/// Its columns.
int64_t input_columns(const ModelConfig& config, LinearInput input, int64_t layer);

struct InputPlace {
  int64_t layer = 0;  ///< 0 for the output
  LinearInput input{};
  int64_t matrix = 0;  ///< the expert or head of per_expert() and per_head() inputs
};

/// Is shown the input of each product before it is computed.
class InputTap {
 public:
  virtual ~InputTap() = default;
  /// x is [tokens, columns], valid during the call; the tokens are those of the forward pass in its order, an
  /// expert's those that it gets. Called by the thread that called forward(), whose pool is free meanwhile.
  virtual void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) = 0;
};

}  // namespace carat
