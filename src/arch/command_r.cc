// Command-R: attention and feed-forward side by side, both reading one LayerNorm without a bias; rotation in
// adjacent pairs, at Hugging Face, too; logits times a constant. Command-R+, which norms q and k, is refused
// for the tensors it has more.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

Status read_command_r(const ConfigReader& read, ModelConfig& c) {
  CARAT_TRY(const double logits, read.number("logit_scale", 0.0, 1e6, 0.0));
  if (logits != 0.0) c.logit_scale = static_cast<float>(logits);
  c.parallel = true;
  return {};
}

TensorRules command_r_tensors() {
  using enum Role;
  TensorRules t = decoder_tensors(Presence::optional, false);
  drop(t, {query_bias, key_bias, value_bias, rope_divisors, feed_forward_norm});
  return t;
}

}  // namespace

const Family& command_r_family() {
  using enum Role;
  static const Family family{
      .architecture = "command-r",
      .classes = {{"CohereForCausalLM", "cohere", HfClass::Window::never, 8192, 0}},
      .rope_interleaved = true,
      .writes_vocabulary_and_rotary = false,
      .tensors = command_r_tensors(),
      .norms = {{attention_norm, {query, key, value, gate, up}}, {output_norm, {output}}},
      .pairs = decoder_pairs(),
      .read_own = &read_command_r,
      .norm = NormKind::layer,
      .checked_against = "llama.cpp and transformers",
      .hf_rope_interleaved = true,
      .hf = {.keys = {{"logit_scale", "logit_scale", HfKey::Kind::number, 0.0625},
                      {"use_qk_norm", "", HfKey::Kind::flag, 0},
                      {"attention_bias", "", HfKey::Kind::flag, 0}},
             .written = false}};
  return family;
}

}  // namespace carat
