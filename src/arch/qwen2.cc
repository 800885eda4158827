// Qwen2 and Qwen2.5: biases on q, k and v, rotary halves on both sides.
#include "arch/family.h"

namespace carat {

const Family& qwen2_family() {
  static const Family family{.architecture = "qwen2",
                             .classes = {{"Qwen2ForCausalLM", "qwen2", HfClass::Window::by_flag, 32768, 0}},
                             .rope_interleaved = false,
                             .writes_vocabulary_and_rotary = false,
                             .tensors = decoder_tensors(Presence::required, false),
                             .norms = decoder_norms(),
                             .pairs = decoder_pairs(),
                             .checked_against = "llama.cpp"};
  return family;
}

}  // namespace carat
