// Granite 3 (dense): a llama with four multipliers: of embeddings, of scores, of what attention and
// feed-forward give, and, inverted, of logits. In GGUF a multiplier of 0 means that there is none
// (llama.cpp's models/granite.cpp).
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {
namespace {

Status read_granite(const ConfigReader& read, ModelConfig& c) {
  CARAT_TRY(const double logits, read.number("logit_scale", 1e-6, 1e6));
  CARAT_TRY(const double residual, read.number("residual_scale", 0.0, 1e6, 0.0));
  CARAT_TRY(const double embedding, read.number("embedding_scale", 0.0, 1e6, 0.0));
  CARAT_TRY(const double attention, read.number("attention.scale", 0.0, 1e6, 0.0));
  c.logit_scale = 1.0f / static_cast<float>(logits);
  if (residual != 0.0) c.residual_scale = static_cast<float>(residual);
  if (embedding != 0.0) c.embedding_scale = static_cast<float>(embedding);
  if (attention != 0.0) c.attention_scale = static_cast<float>(attention);
  CARAT_TRY(const bool rotates, read.flag("rope.scaling.finetuned", true));
  if (!rotates)
    return bad_data("{} is false: this Granite has no positions, and carat cannot run it",
                    read.key("rope.scaling.finetuned"));
  return {};
}

}  // namespace

const Family& granite_family() {
  static const Family family{
      .architecture = "granite",
      .classes = {{"GraniteForCausalLM", "granite", HfClass::Window::never, 2048, 0}},
      .rope_interleaved = true,
      .writes_vocabulary_and_rotary = true,
      .tensors = decoder_tensors(Presence::all_or_none, false),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_granite,
      .checked_against = "llama.cpp and transformers",
      .hf = {.keys = {{"attention_multiplier", "attention.scale", HfKey::Kind::number, 1.0},
                      {"embedding_multiplier", "embedding_scale", HfKey::Kind::number, 1.0},
                      {"residual_multiplier", "residual_scale", HfKey::Kind::number, 1.0},
                      {"logits_scaling", "logit_scale", HfKey::Kind::number, 1.0}},
             .written = false}};
  return family;
}

}  // namespace carat
