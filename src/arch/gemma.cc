#include "arch/gemma.h"

namespace carat {

TensorRules gemma_tensors(bool qk_norm) {
  using enum Role;
  TensorRules t = decoder_tensors(Presence::optional, qk_norm);
  drop(t, {query_bias, key_bias, value_bias, rope_divisors});
  rename_in_hf(t, feed_forward_norm, "model.layers.{}.pre_feedforward_layernorm.weight");
  add_post_norms(t, "model.layers.{}.post_attention_layernorm.weight",
                 "model.layers.{}.post_feedforward_layernorm.weight");
  for (TensorRule& r : t)
    if (r.shape.size() == 1) r.form = HfForm::less_one;
  return t;
}

Status check_gemma(const HfReader& read, const HfConfig& config, int64_t layers_of_27b, int64_t period) {
  const auto number = [&](std::string_view suffix) {
    return config.metadata.signed_at(fmt::format("{}.{}", config.family->architecture, suffix));
  };
  CARAT_TRY(const int64_t layers, number("block_count"));
  CARAT_TRY(const int64_t width, number("embedding_length"));
  CARAT_TRY(const int64_t heads, number("attention.head_count"));
  const int64_t implied = layers == layers_of_27b ? width / heads : config.head_dim;
  CARAT_TRY(const auto scalar, read.number("query_pre_attn_scalar", 1e-3, 1e9));
  if (scalar.value_or(256.0) != static_cast<double>(implied))
    return bad_data("query_pre_attn_scalar is {}, but GGUF's {} with {} layers means {}",
                    scalar.value_or(256.0), config.family->architecture, layers, implied);
  const json::array* types = json_array(read.find("layer_types"));
  if (!types) return {};
  for (size_t i = 0; i < types->size(); ++i) {
    const bool sliding = (static_cast<int64_t>(i) + 1) % period != 0;
    if ((*types)[i] != (sliding ? "sliding_attention" : "full_attention"))
      return bad_data(
          "layer_types says {} of layer {}; carat runs {} with every {}th layer seeing everything",
          HfReader::short_text((*types)[i]), i, config.family->architecture, period);
  }
  return {};
}

}  // namespace carat
