// What carat knows of one model family, as data: Hugging Face class names, the GGUF architecture, tensors
// with their names on both sides, shapes and roles, and the groups of tensors that can trade factors without
// changing the function (what a transform needs to know). No forward code: that is in model/.
//
// To add a family: one .cc file that fills a Family, one test, one line in families.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace carat {

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
  query_bias,
  key_bias,
  value_bias,
  query_norm,
  key_norm,
  feed_forward_norm,
  gate,
  up,
  down,
};

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
};

enum class Presence {
  required,
  optional,     ///< by itself (rope divisors, an untied output)
  all_or_none,  ///< with the others so marked in every layer: the biases of q, k and v
};

struct TensorRule {
  Role role;
  std::string_view gguf;   ///< "{}" stands for the layer number
  std::string_view hf;     ///< the same in Hugging Face checkpoints; empty: not stored there
  std::vector<Dim> shape;  ///< outermost first
  Presence presence = Presence::required;

  bool per_layer() const { return gguf.starts_with("blk."); }
  std::string gguf_name(int64_t layer) const;
  std::string hf_name(int64_t layer) const;
};

/// Tensors of one layer whose columns read this norm's output; output_norm's reader is the output matrix.
struct NormReaders {
  Role norm;
  std::vector<Role> readers;
};

/// Rows of `producer` (and its bias) that meet columns of `consumer` with nothing but sums and products by
/// positive numbers between them, so that a factor can move from one to the other. With `grouped`, one row of
/// the producer meets one column in each query head of its key-value group.
struct ChannelPair {
  Role producer;
  Role producer_bias;  ///< the same as producer where there is none
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

  const TensorRule* rule(Role role) const;
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

}  // namespace carat
