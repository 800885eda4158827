// Gemma 3 (text): norms before and after attention and feed-forward, a norm for every head of q and k, GELU,
// embeddings times sqrt(width), and five layers with a sliding window and a rotation of their own before each
// that sees everything. GGUF holds norm gains as they multiply (Hugging Face: less 1), and says neither the
// order of the layers nor the base of their rotation; those are llama.cpp's constants (llama-model.cpp,
// gemma3).
#include <cmath>

#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/gemma.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

constexpr int64_t kPeriod = 6;
constexpr double kLocalBase = 10000.0;
constexpr int64_t kLayersOf27B = 62;

Status read_gemma3(const ConfigReader& read, ModelConfig& c) {
  CARAT_TRY(const double cap, read.number("final_logit_softcapping", 0.0, 1e6, 0.0));
  c.logit_softcap = static_cast<float>(cap);
  CARAT_TRY(const double base, read.number("rope.freq_base_swa", 1.0, 1e30, kLocalBase));
  CARAT_TRY(c.window_period, read.count("attention.sliding_window_pattern", 1, c.layers, kPeriod));
  c.local_rope_base = static_cast<float>(base);
  c.gate = Gate::gelu;
  c.embedding_scale = std::sqrt(static_cast<float>(c.width));
  if (c.layers == kLayersOf27B)  // the one size whose queries are scaled by the width of all heads
    c.attention_scale = 1.0f / std::sqrt(static_cast<float>(c.width) / static_cast<float>(c.heads));
  return {};
}

Status read_hf_gemma3(const HfReader& read, HfConfig& out) {
  CARAT_TRY(const auto window, read.count("sliding_window"));
  out.metadata.set("gemma3.attention.sliding_window",
                   Value::u32(static_cast<uint32_t>(window.value_or(4096))));
  CARAT_TRY(const auto cap, read.number("final_logit_softcapping", 0.0, 1e6));
  if (cap) out.metadata.set("gemma3.final_logit_softcapping", Value::f32(static_cast<float>(*cap)));
  CARAT_TRY(const auto bidirectional, read.boolean("use_bidirectional_attention"));
  if (bidirectional.value_or(false))
    return bad_data("use_bidirectional_attention is true, which carat cannot run");
  // The base of the local rotation: by itself, or in rope_parameters (transformers 5).
  CARAT_TRY(auto local, read.number("rope_local_base_freq", 1.0, 1e30));
  if (const json::object* rope = json_object(read.find("rope_parameters")))
    if (const json::object* sliding = json_object(rope->if_contains("sliding_attention"))) {
      CARAT_TRY(const auto inner, HfReader(*sliding).number("rope_theta", 1.0, 1e30));
      if (inner) local = inner;
    }
  if (local && *local != kLocalBase)
    out.metadata.set("gemma3.rope.freq_base_swa", Value::f32(static_cast<float>(*local)));
  CARAT_TRY(auto period, read.count("sliding_window_pattern"));
  if (!period) {
    CARAT_TRY(period, read.count("_sliding_window_pattern"));
  }
  if (period && *period != kPeriod)
    out.metadata.set("gemma3.attention.sliding_window_pattern", Value::u32(static_cast<uint32_t>(*period)));
  return check_gemma(read, out, kLayersOf27B, period.value_or(kPeriod));
}

}  // namespace

const Family& gemma3_family() {
  static const Family family{
      .architecture = "gemma3",
      .classes = {{"Gemma3ForCausalLM", "gemma3_text", HfClass::Window::never, 131072, 256}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = gemma_tensors(true),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_gemma3,
      .checked_against = "llama.cpp and transformers",
      .hf = {.activations = {"gelu_pytorch_tanh"},
             .keys = {{"attn_logit_softcapping", "", HfKey::Kind::number, 0.0},
                      {"attention_bias", "", HfKey::Kind::flag, 0}},
             .read_own = &read_hf_gemma3,
             .written = false}};
  return family;
}

}  // namespace carat
