// Falcon (7B, 40B, 180B): attention and feed-forward side by side behind LayerNorm, in the new architecture
// (40B, 180B) behind one each; q, k and v in one tensor with few key-value heads, which GGUF orders as all
// queries, all keys, all values, and Hugging Face by key-value head; a feed-forward without a gate. In GGUF
// the feed-forward's norm is attn_norm and the attention's attn_norm_2 where there are two (llama.cpp's
// models/falcon.cpp). GELU is taken in its tanh form, as there; transformers takes the error function, which
// is within 0.0005 of it.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/hf_config.h"
#include "arch/hf_reader.h"
#include "arch/model_config.h"

namespace carat {
namespace {

Status read_falcon(const ConfigReader&, ModelConfig& c) {
  c.gated = false;
  c.gate = Gate::gelu;
  c.parallel = true;
  return {};
}

/// The old architecture has one key-value head or as many as query heads; the new one says how many.
Status read_hf_falcon(const HfReader& read, HfConfig& out) {
  CARAT_TRY(const auto new_one, read.boolean("new_decoder_architecture"));
  CARAT_TRY(const auto single, read.boolean("multi_query"));
  CARAT_TRY(const auto heads, read.count_of({"num_attention_heads", "n_head"}));
  CARAT_TRY(const auto said, read.count_of({"num_kv_heads", "n_head_kv"}));
  int64_t kv_heads = heads.value_or(1);
  if (new_one.value_or(false))
    kv_heads = said.value_or(kv_heads);
  else if (single.value_or(true))
    kv_heads = 1;
  else
    return bad_data("multi_query is false in the old decoder architecture, which carat cannot read");
  out.metadata.set("falcon.attention.head_count_kv", Value::u32(static_cast<uint32_t>(kv_heads)));
  out.metadata.set("falcon.tensor_data_layout", Value::string("jploski"));
  return {};
}

std::vector<TensorRule> falcon_tensors() {
  using enum Role;
  using enum Dim;
  return {
      {token_embedding, "token_embd.weight", "transformer.word_embeddings.weight", {vocabulary, width}},
      {attention_norm,
       "blk.{}.attn_norm.weight",
       "transformer.h.{}.input_layernorm.weight",
       {width},
       Presence::required,
       LayerKind::every,
       HfForm::same,
       "transformer.h.{}.ln_mlp.weight"},
      {attention_norm_bias,
       "blk.{}.attn_norm.bias",
       "transformer.h.{}.input_layernorm.bias",
       {width},
       Presence::required,
       LayerKind::every,
       HfForm::same,
       "transformer.h.{}.ln_mlp.bias"},
      {parallel_attention_norm,
       "blk.{}.attn_norm_2.weight",
       "transformer.h.{}.ln_attn.weight",
       {width},
       Presence::optional},
      {parallel_attention_norm_bias,
       "blk.{}.attn_norm_2.bias",
       "transformer.h.{}.ln_attn.bias",
       {width},
       Presence::optional},
      {query_key_value,
       "blk.{}.attn_qkv.weight",
       "transformer.h.{}.self_attention.query_key_value.weight",
       {queries_keys_values, width},
       Presence::required,
       LayerKind::every,
       HfForm::by_key_value_head},
      {attention_output,
       "blk.{}.attn_output.weight",
       "transformer.h.{}.self_attention.dense.weight",
       {width, mixed_values}},
      {up, "blk.{}.ffn_up.weight", "transformer.h.{}.mlp.dense_h_to_4h.weight", {feed_forward, width}},
      {down, "blk.{}.ffn_down.weight", "transformer.h.{}.mlp.dense_4h_to_h.weight", {width, feed_forward}},
      {output_norm, "output_norm.weight", "transformer.ln_f.weight", {width}},
      {output_norm_bias, "output_norm.bias", "transformer.ln_f.bias", {width}},
      {output, "output.weight", "lm_head.weight", {vocabulary, width}, Presence::optional},
  };
}

}  // namespace

// What reads the layers' norms depends on how many there are, and no factors move through GELU or into a part
// of the fused tensor: only the output has a fold group.
const Family& falcon_family() {
  using enum Role;
  static const Family family{
      .architecture = "falcon",
      .classes = {{"FalconForCausalLM", "falcon", HfClass::Window::never, 2048, 0},
                  {"RWForCausalLM", "RefinedWebModel", HfClass::Window::never, 2048, 0}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = falcon_tensors(),
      .norms = {{output_norm, {output}, output_norm_bias}},
      .pairs = {},
      .read_own = &read_falcon,
      .norm = NormKind::layer,
      .checked_against = "llama.cpp and transformers",
      .hf = {.activations = {"gelu"},
             .keys = {{"alibi", "", HfKey::Kind::flag, 0},
                      {"bias", "", HfKey::Kind::flag, 0},
                      {"parallel_attn", "", HfKey::Kind::flag, 1}},
             .read_own = &read_hf_falcon,
             .written = false}};
  return family;
}

}  // namespace carat
