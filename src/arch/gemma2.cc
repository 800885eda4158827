// Gemma 2: norms before and after attention and feed-forward, GELU, embeddings times sqrt(width), scores of
// attention and logits bounded by a soft cap, a sliding window in every other layer, the first included. GGUF
// holds norm gains as they multiply (Hugging Face: less 1), and says neither the order of the layers nor how
// queries are scaled; those are llama.cpp's constants (models/gemma2.cpp).
#include <cmath>

#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/gemma.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

constexpr int64_t kLayersOf27B = 46;

Status read_gemma2(const ConfigReader& read, ModelConfig& c) {
  CARAT_TRY(const double attention, read.number("attn_logit_softcapping", 0.0, 1e6, 50.0));
  CARAT_TRY(const double logits, read.number("final_logit_softcapping", 0.0, 1e6, 30.0));
  CARAT_TRY(c.sliding_window, read.count("attention.sliding_window", 0, int64_t{1} << 31, 4096));
  c.attention_softcap = static_cast<float>(attention);
  c.logit_softcap = static_cast<float>(logits);
  c.window_period = 2;
  c.gate = Gate::gelu;
  c.embedding_scale = std::sqrt(static_cast<float>(c.width));
  if (c.layers == kLayersOf27B)  // the one size whose queries are scaled by the width of all heads
    c.attention_scale = 1.0f / std::sqrt(static_cast<float>(c.width / c.heads));
  return {};
}

Status read_hf_gemma2(const HfReader& read, HfConfig& out) {
  for (const std::string_view key : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (const json::value* said = out.object.if_contains(key); said && said->is_null())
      return bad_data("{} is null; carat runs Gemma 2 with soft caps only", key);
  CARAT_TRY(const auto window, read.count("sliding_window"));
  out.metadata.set("gemma2.attention.sliding_window",
                   Value::u32(static_cast<uint32_t>(window.value_or(4096))));
  return check_gemma(read, out, kLayersOf27B, 2);
}

}  // namespace

const Family& gemma2_family() {
  static const Family family{
      .architecture = "gemma2",
      .classes = {{"Gemma2ForCausalLM", "gemma2", HfClass::Window::never, 8192, 256}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = gemma_tensors(false),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_gemma2,
      .checked_against = "llama.cpp and transformers",
      .hf = {.activations = {"gelu_pytorch_tanh"},
             .keys = {{"attn_logit_softcapping", "attn_logit_softcapping", HfKey::Kind::number, 50.0},
                      {"final_logit_softcapping", "final_logit_softcapping", HfKey::Kind::number, 30.0},
                      {"attention_bias", "", HfKey::Kind::flag, 0}},
             .read_own = &read_hf_gemma2,
             .written = false}};
  return family;
}

}  // namespace carat
