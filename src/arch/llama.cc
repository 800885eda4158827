// Llama 1 to 3.x, Mistral, SmolLM and what else is published under these classes. Rotary pairs are adjacent
// in GGUF and halves in Hugging Face checkpoints, so rows of q and k (and their biases, where there are any)
// change places between the two. Llama 3's frequency scaling travels as the tensor rope_freqs.weight.
#include "arch/family.h"

namespace carat {

const Family& llama_family() {
  static const Family family{
      .architecture = "llama",
      .classes = {{"LlamaForCausalLM", "llama", HfClass::Window::never, 2048, 0},
                  {"MistralForCausalLM", "mistral", HfClass::Window::always, 131072, 0}},
      .rope_interleaved = true,
      .writes_vocabulary_and_rotary = true,
      .tensors = decoder_tensors(Presence::all_or_none, false),
      .norms = decoder_norms(),
      .pairs = decoder_pairs()};
  return family;
}

}  // namespace carat
