// Qwen3 (dense): every head of q and k is RMS-normalised before rotation, head_dim is independent of the
// width, no biases unless attention_bias says so.
#include "arch/family.h"

namespace carat {

const Family& qwen3_family() {
  static const Family family{.architecture = "qwen3",
                             .classes = {{"Qwen3ForCausalLM", "qwen3", HfClass::Window::by_flag, 32768, 128}},
                             .rope_interleaved = false,
                             .writes_vocabulary_and_rotary = false,
                             .tensors = decoder_tensors(Presence::all_or_none, true),
                             .norms = decoder_norms(),
                             .pairs = decoder_pairs(),
                             .checked_against = "llama.cpp"};
  return family;
}

}  // namespace carat
