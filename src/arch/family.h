// What carat knows of one model family, as data: Hugging Face class names, the GGUF architecture, tensors
// with their names on both sides, shapes and roles, and the groups of tensors that can trade factors without
// changing the function (what a transform needs to know). No forward code: that is in model/.
//
// To add a family: one .cc file that fills a Family, one test, one line in families.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

class ConfigReader;
class HfReader;
class Metadata;
struct HfConfig;
struct ModelConfig;

enum class Role {
  rope_divisors,
  token_embedding,
  output_norm,
  output,
  attention_norm,
  query,
  key,
  value,
  attention_output,
  post_attention_norm,
  query_bias,
  key_bias,
  value_bias,
  query_norm,
  key_norm,
  feed_forward_norm,
  gate,
  up,
  down,
  post_feed_forward_norm,
  router,
  gate_experts,
  up_experts,
  down_experts,
  shared_router,
  shared_gate,
  shared_up,
  shared_down,
  router_bias,
  router_correction,  ///< added to experts' scores where they are chosen, not where they are weighed
  query_latent,
  query_latent_norm,
  query_expansion,
  key_value_latent,
  key_value_latent_norm,
  key_value_expansion,
  key_expansion,
  value_expansion,
  gate_experts_bias,
  up_experts_bias,
  down_experts_bias,
  rope_divisors_long,
  rope_divisors_short,
  position_embedding,
  attention_norm_bias,
  parallel_attention_norm,  ///< of attention, where the feed-forward beside it has attention_norm to itself
  parallel_attention_norm_bias,
  query_key_value,  ///< one matrix of the three
  query_key_value_bias,
  attention_output_bias,
  attention_sinks,
  feed_forward_norm_bias,
  gate_up,  ///< one matrix of the two
  up_bias,
  down_bias,
  output_norm_bias,
};

/// rms: x / sqrt(mean(x^2)); layer: the same of x - mean(x).
enum class NormKind { rms, layer };

/// A dimension by meaning; its size follows from the ModelConfig.
enum class Dim {
  vocabulary,
  width,
  feed_forward,
  head,          ///< head_dim
  half_rotary,   ///< rotary_dim / 2
  queries,       ///< heads * head_dim
  keys,          ///< kv_heads * head_dim
  values,        ///< kv_heads * value_dim
  mixed_values,  ///< heads * value_dim: what attention hands to its output projection
  experts,
  expert_feed_forward,  ///< of one expert
  shared_feed_forward,  ///< of what every token passes beside its experts
  heads,
  queries_keys_values,  ///< the sum of the three
  gates_and_ups,        ///< 2 * feed_forward
  positions,            ///< context_length
  query_rank,
  latent_queries,  ///< heads * (plain + rotary_dim)
  latent_rank,
  latent_keys,             ///< latent_rank + rotary_dim
  latent_plain,            ///< dimensions of a head's key that are not rotated
  latent_value,            ///< dimensions of a head's value
  latent_keys_and_values,  ///< heads * (plain + value)
};

enum class Presence {
  required,
  optional,     ///< by itself (rope divisors, an untied output)
  all_or_none,  ///< with the others so marked in every layer: the biases of q, k and v
  by_config,    ///< as its numbers ask for: how queries, keys and values come from latent vectors
};

/// Layers are dense, or mixtures of experts from some layer on.
enum class LayerKind { every, dense, mixture };
/// How a tensor stands at Hugging Face, besides the order of rotary pairs.
enum class HfForm {
  same,
  less_one,           ///< a gain as what is added to 1
  transposed,         ///< [columns, rows], of each matrix where there are several
  by_key_value_head,  ///< q, k and v in one: for each key-value head its queries, its key, its value
  first_of_pairs,     ///< of transposed matrices, every other column; of biases, every other entry
  second_of_pairs,    ///< the others
  latent_keys,  ///< of a matrix with each head's rows for its key, then for its value: the former, transposed
  latent_values,  ///< the latter
};

struct TensorRule {
  Role role;
  std::string_view gguf;  ///< "{}" stands for the layer number
  /// The same in Hugging Face checkpoints; empty: not stored there. A second "{}" stands for the expert: what
  /// is one stacked tensor in GGUF are as many as there are experts.
  std::string_view hf;
  std::vector<Dim> shape;  ///< outermost first
  Presence presence = Presence::required;
  LayerKind layers = LayerKind::every;
  HfForm form = HfForm::same;
  std::string_view hf_also = {};  ///< another name that it may have there

  bool per_layer() const { return gguf.starts_with("blk."); }
  /// Whether such a layer has it.
  bool in_layer(bool is_mixture) const {
    return layers == LayerKind::every || (layers == LayerKind::mixture) == is_mixture;
  }
  bool per_expert() const { return hf.find("{}") != hf.rfind("{}"); }
  std::string gguf_name(int64_t layer) const;
  std::string hf_name(int64_t layer, int64_t expert = 0) const;
  std::string hf_also_name(int64_t layer) const;
};

/// Tensors of one layer whose columns read this norm's output; output_norm's reader is the output matrix.
struct NormReaders {
  Role norm;
  std::vector<Role> readers;
  std::optional<Role> bias = {};  ///< the norm's own
};

/// Rows of `producer` (and its bias) that meet columns of `consumer` with nothing but sums and products by
/// positive numbers between them, so that a factor can move from one to the other. With `grouped`, one row of
/// the producer meets one column in each query head of its key-value group.
struct ChannelPair {
  Role producer;
  Role producer_bias;  ///< the same as producer where there is none
  Role companion;      ///< whose rows belong to the same channels, with no room for a factor; or producer
  Role consumer;
  bool grouped;
};

struct HfClass {
  std::string_view name;        ///< "LlamaForCausalLM"
  std::string_view model_type;  ///< "llama"
  /// Whether sliding_window in config.json counts by itself (Mistral), needs use_sliding_window (Qwen), or
  /// means nothing (Llama).
  enum class Window { never, always, by_flag } window;
  /// What transformers' configuration class assumes where config.json is silent; 0: hidden size / heads.
  int64_t default_context, default_head_dim;
  bool mixture = false;  ///< of experts
};

/// A key of config.json that only some families have.
struct HfKey {
  enum class Kind { count, number, flag, empty_list };
  std::string_view hf, gguf;
  Kind kind = Kind::count;
  /// What transformers' configuration class assumes; nothing: the key must be there.
  std::optional<double> fallback = {};
  /// The only value whose function carat computes, for keys without a counterpart in GGUF.
  std::optional<double> required = {};
};

/// What config.json may say of a family besides what it says of all.
struct HfSide {
  std::vector<std::string_view> activations = {"silu"};
  std::vector<std::string_view> quantized = {};  ///< quant_methods whose tensors carat reads (hf_packed.h)
  std::string_view head_size = "head_dim";       ///< key of the dimensions of a head that rotate
  std::vector<HfKey> keys = {};
  /// Assumed where partial_rotary_factor is silent; nothing: heads are rotated whole.
  std::optional<double> rotary_share = {};
  /// Called last, with the common keys in config.metadata; null: there is nothing more.
  Status (*read_own)(const HfReader& read, HfConfig& config) = nullptr;
  bool written = true;  ///< carat writes such directories, too
  /// The inverse of read_own, called last, for config.object; null: there is nothing more.
  Status (*write_own)(const Metadata& metadata, HfConfig& config) = nullptr;
};

struct Family {
  std::string_view architecture;  ///< general.architecture
  std::vector<HfClass> classes;  ///< the first is the one written, or the first with a window if there is one
  /// GGUF's rows of q and k are interleaved for rotation of pairs (0,1), (2,3), ...; Hugging Face always
  /// rotates halves. False: both rotate halves and the rows stay where they are.
  bool rope_interleaved;
  /// {arch}.vocab_size and {arch}.rope.dimension_count are written, as llama.cpp's converter does for it.
  bool writes_vocabulary_and_rotary;
  std::vector<TensorRule> tensors;  ///< in the order in which a converted file holds them
  std::vector<NormReaders> norms;
  std::vector<ChannelPair> pairs;
  /// What its metadata say besides what all families' do; null: nothing.
  Status (*read_own)(const ConfigReader& read, ModelConfig& config) = nullptr;
  std::vector<HfKey> expert_keys = {};  ///< of classes that are mixtures
  bool only_mixtures = false;           ///< of experts, in all layers or all but the first

  NormKind norm = NormKind::rms;
  /// Whose logits carat's were compared with (docs/models.md); empty: nobody's, and users are told.
  std::string_view checked_against = {};
  /// Hugging Face rotates pairs, too, and the rows stay where they are.
  bool hf_rope_interleaved = false;

  HfSide hf = {};

  const TensorRule* rule(Role role) const;
  /// Rows of q and k have another order in GGUF than at Hugging Face.
  bool reorders_rotary() const { return rope_interleaved && !hf_rope_interleaved; }
};

/// All families, in the order of families.cc.
std::span<const Family* const> all_families();
/// By GGUF architecture; null if there is none.
const Family* find_family(std::string_view architecture);
/// By Hugging Face class; null if there is none. `hf_class`, when not null, receives its entry.
const Family* find_family_of_class(std::string_view class_name, const HfClass** hf_class);
/// "llama, qwen2, qwen3" / "LlamaForCausalLM, ...": for messages.
std::string architecture_names();
std::string hf_class_names();

/// The pieces families are put together from: what llama-like decoders have in common.
std::vector<TensorRule> decoder_tensors(Presence qkv_bias, bool qk_norm);
std::vector<NormReaders> decoder_norms();
std::vector<ChannelPair> decoder_pairs();
/// Hugging Face's names of what stands in place of gate, up and down in a mixture of experts.
struct ExpertNames {
  std::string_view router, gate, up, down;
};
/// `tensors` with experts for the layers that are mixtures.
std::vector<TensorRule> with_experts(std::vector<TensorRule> tensors, const ExpertNames& hf);
/// And with an expert that every token passes; without a router of its own where hf.router is empty.
std::vector<TensorRule> with_shared_expert(std::vector<TensorRule> tensors, const ExpertNames& hf);

}  // namespace carat
