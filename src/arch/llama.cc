// Llama 1 to 3.x, Mistral, Mixtral, SmolLM and what else is published under these classes. Rotary pairs are
// adjacent in GGUF and halves in Hugging Face checkpoints, so rows of q and k (and their biases, where there
// are any) change places between the two. Llama 3's frequency scaling travels as the tensor
// rope_freqs.weight.
//
// Mixtral is a llama with experts in every layer; the weights of those a token goes through are divided by
// their sum (transformers' MixtralSparseMoeBlock; llama.cpp's models/llama.cpp).
#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {
namespace {

Status read_llama(const ConfigReader&, ModelConfig& c) {
  c.experts.normalised = true;
  return {};
}

constexpr ExpertNames kMixtral{.router = "model.layers.{}.block_sparse_moe.gate.weight",
                               .gate = "model.layers.{}.block_sparse_moe.experts.{}.w1.weight",
                               .up = "model.layers.{}.block_sparse_moe.experts.{}.w3.weight",
                               .down = "model.layers.{}.block_sparse_moe.experts.{}.w2.weight"};

}  // namespace

const Family& llama_family() {
  static const Family family{
      .architecture = "llama",
      .classes = {{"LlamaForCausalLM", "llama", HfClass::Window::never, 2048, 0},
                  {"MistralForCausalLM", "mistral", HfClass::Window::always, 131072, 0},
                  {"MixtralForCausalLM", "mixtral", HfClass::Window::always, 131072, 0, true}},
      .rope_interleaved = true,
      .writes_vocabulary_and_rotary = true,
      .tensors = with_experts(decoder_tensors(Presence::all_or_none, false), kMixtral),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_llama,
      .expert_keys = {{"num_local_experts", "expert_count", HfKey::Kind::count, 8},
                      {"num_experts_per_tok", "expert_used_count", HfKey::Kind::count, 2}},
      .checked_against = "llama.cpp"};
  return family;
}

}  // namespace carat
