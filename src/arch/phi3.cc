// Phi-3, 3.5 and 4-mini: q, k and v in one tensor, gate and up in another. Longrope: every pair's frequency
// is divided by one of two factors, one list for contexts up to the original size and one for larger
// contexts, and the rotation is scaled, in both, by rope.scaling.attn_factor. A part of each head may stay as
// it is. Sliding windows in the file are not applied, as llama.cpp does not (models/phi3.cpp).
#include <cmath>

#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/hf_config.h"
#include "arch/hf_reader.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

Status read_phi3(const ConfigReader&, ModelConfig& c) {
  c.sliding_window = 0;
  return {};
}

Status read_divisors(const json::object& rope, std::string_view key, size_t expected,
                     std::vector<float>& out) {
  const json::array* list = json_array(rope.if_contains(key));
  if (!list) return bad_data("rope_scaling has no list {}", key);
  if (list->size() != expected)
    return bad_data("rope_scaling's {} has {} numbers, not one for each of {} rotated pairs", key,
                    list->size(), expected);
  for (const json::value& v : *list) {
    const auto x = v.is_number() ? v.to_number<double>() : 0.0;
    if (!(x > 0.0 && x < 1e30)) return bad_data("rope_scaling's {} holds {}", key, HfReader::short_text(v));
    out.push_back(static_cast<float>(x));
  }
  return {};
}

/// What transformers' Phi3Config and _compute_longrope_parameters make of it.
Status read_hf_phi3(const HfReader& read, HfConfig& out) {
  Metadata& m = out.metadata;
  CARAT_TRY(const auto window, read.count("sliding_window"));
  m.set("phi3.attention.sliding_window", Value::u32(static_cast<uint32_t>(window.value_or(0))));
  const json::object* rope = hf_rope_object(out.object);
  CARAT_TRY(auto original, read.count("original_max_position_embeddings"));
  if (!original && rope) {
    CARAT_TRY(original, HfReader(*rope).count("original_max_position_embeddings"));
  }
  CARAT_TRY(const int64_t context, m.signed_at("phi3.context_length"));
  const int64_t trained = original.value_or(context);
  m.set("phi3.rope.scaling.original_context_length", Value::u32(static_cast<uint32_t>(trained)));
  if (!rope || !rope->contains("long_factor")) return {};
  CARAT_TRY(const int64_t rotary, m.signed_at("phi3.rope.dimension_count"));
  CARAT_DO(read_divisors(*rope, "long_factor", static_cast<size_t>(rotary / 2), out.divisors_long));
  CARAT_DO(read_divisors(*rope, "short_factor", static_cast<size_t>(rotary / 2), out.divisors_short));
  CARAT_TRY(auto magnitude, HfReader(*rope).number("attention_factor", 1e-3, 1e3));
  if (!magnitude) {
    const double factor = static_cast<double>(context) / static_cast<double>(trained);
    magnitude = factor > 1.0 && trained > 1
                    ? std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(trained)))
                    : 1.0;
  }
  m.set("phi3.rope.scaling.attn_factor", Value::f32(static_cast<float>(*magnitude)));
  return {};
}

TensorRules phi3_tensors() {
  using enum Role;
  TensorRules t = decoder_tensors(Presence::optional, false);
  drop(t, {query, key, value, query_bias, key_bias, value_bias, rope_divisors});
  fuse_gate_and_up(t, "model.layers.{}.mlp.gate_up_proj.weight");
  add_to_layers(t, {{query_key_value,
                     "blk.{}.attn_qkv.weight",
                     "model.layers.{}.self_attn.qkv_proj.weight",
                     {Dim::queries_keys_values, Dim::width}}});
  t.insert(t.begin(),
           {{rope_divisors_long, "rope_factors_long.weight", "", {Dim::half_rotary}, Presence::optional},
            {rope_divisors_short, "rope_factors_short.weight", "", {Dim::half_rotary}, Presence::optional}});
  return t;
}

}  // namespace

// No channels are exchanged between parts of fused tensors: rows of v, and of up, have no factors of their
// own.
const Family& phi3_family() {
  static const Family family{.architecture = "phi3",
                             .classes = {{"Phi3ForCausalLM", "phi3", HfClass::Window::never, 4096, 0}},
                             .rope_interleaved = false,
                             .writes_vocabulary_and_rotary = false,
                             .tensors = phi3_tensors(),
                             .norms = {{Role::attention_norm, {Role::query_key_value}},
                                       {Role::feed_forward_norm, {Role::gate_up}},
                                       {Role::output_norm, {Role::output}}},
                             .pairs = {},
                             .read_own = &read_phi3,
                             .checked_against = "llama.cpp and transformers",
                             .hf = {.rotary_share = 1.0, .read_own = &read_hf_phi3, .written = false}};
  return family;
}

}  // namespace carat
