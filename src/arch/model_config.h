// What the forward pass needs to know of a model, checked against the tensors' real shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arch/family.h"
#include "base/error.h"
#include "containers/checkpoint.h"

namespace carat {

enum class RopeScaling { none, linear, llama3, yarn };
/// What the gate of a feed-forward goes through; gelu: in its tanh form; clamped: x sigmoid(1.702 x) of at
/// most 7, times 1 + up, which is held within -7 and 7 (gpt-oss).
enum class Gate { silu, gelu, clamped };

/// How scores of experts become weights.
enum class Routing {
  softmax,           ///< of all experts' logits
  sigmoid,           ///< of each logit
  softmax_of_chosen  ///< of the chosen experts' logits
};

/// Of the layers that are mixtures of experts; count is 0 where none is.
struct ExpertConfig {
  int count = 0, used = 0;          ///< experts of a layer, and those that a token goes through
  int64_t feed_forward = 0;         ///< of one expert
  int64_t shared_feed_forward = 0;  ///< of what every token passes beside its experts; 0: there is none
  bool shared_router = false;       ///< which has a weight of its own: a sigmoid
  int64_t first_layer = 0;          ///< layers before it are dense
  Routing routing = Routing::softmax;
  int groups = 1,
      groups_used = 1;      ///< a token's experts are of so many groups, those whose two best are best
  bool normalised = false;  ///< the chosen experts' weights are divided by their sum
  float scale = 1;          ///< and multiplied by this
};

/// Multi-head latent attention (DeepSeek-V2, section 2.1): what is rotated of a key is the same for all
/// heads, the rest and the values are products with a short vector, the latent one. rank is 0 where there is
/// none.
struct LatentConfig {
  int64_t rank = 0;
  int64_t query_rank = 0;  ///< of the vector that queries are products with; 0: the residual stream itself
  int64_t plain = 0, value = 0;  ///< of a head: dimensions of its key that are not rotated, of its value
  /// Attention takes the latent vector and the rotated part for key and value of all heads (head_dim = rank +
  /// rotary_dim, one key-value head), and the products move to queries and results. Else each head has its
  /// key and value (head_dim = plain + rotary_dim), which takes more memory.
  bool absorbed = false;
};

/// Read from GGUF metadata ({arch}.*), which hf_import.h also makes from config.json.
struct ModelConfig {
  std::string architecture;  ///< GGUF's name: "llama", "qwen2", "qwen3"
  int64_t layers = 0;
  int64_t width = 0;  ///< embedding_length
  int64_t feed_forward = 0;
  int heads = 0, kv_heads = 0;
  int head_dim = 0, value_dim = 0;
  int rotary_dim = 0;            ///< 0: positions have embeddings of their own
  bool rope_interleaved = true;  ///< pairs (0,1),(2,3): llama. false: halves (NeoX): qwen
  bool qkv_bias = false, qk_norm = false;
  float norm_epsilon = 1e-5f;
  int64_t vocabulary = 0;
  int64_t context_length = 0;
  int64_t sliding_window = 0;  ///< 0 = none
  int64_t window_period = 0;   ///< every so-manyth layer sees all positions whatever the window; 0: none does
  float local_rope_base = 0;   ///< of the layers with a window, which then scale nothing; 0: as the others
  Gate gate = Gate::silu;
  bool gated = true;        ///< false: the feed-forward is down(activation(up))
  bool post_norms = false;  ///< what attention and feed-forward give is normed before it is added
  bool parallel = false;    ///< the feed-forward reads what attention reads, not what it gives
  NormKind norm = NormKind::rms;
  float embedding_scale = 1;  ///< of token embeddings
  float residual_scale = 1;   ///< of what attention and feed-forward give
  float logit_scale = 1;
  float attention_softcap = 0, logit_softcap = 0;  ///< 0: none
  float attention_scale = 0;  ///< of scores: 1 / sqrt(head_dim) unless a family knows better
  float rope_base = 10000.0f;
  RopeScaling rope_scaling = RopeScaling::none;
  float rope_factor = 1.0f;
  int64_t rope_original_context = 0;
  float yarn_attention_factor = 1.0f;  ///< as llama.cpp's rope.scaling.attn_factor
  float yarn_beta_fast = 32.0f, yarn_beta_slow = 1.0f, yarn_ext_factor = 1.0f;
  bool yarn_whole_pairs = true;           ///< the range of pairs between the two is widened to whole ones
  std::vector<float> rope_divisors;       ///< rope_freqs.weight (llama3): rotary_dim / 2 divisors, or empty
  std::vector<float> rope_divisors_long;  ///< in their place for contexts beyond the original (longrope)
  bool tied_embeddings = false;           ///< no output.weight
  ExpertConfig experts;
  LatentConfig latent;

  /// What attention hands to its output projection.
  int64_t mixed_width() const { return heads * (latent.rank > 0 ? latent.value : int64_t{value_dim}); }
  bool is_mixture(int64_t layer) const { return experts.count > 0 && layer >= experts.first_layer; }

  /// Positions that layer `layer` sees, its own included; 0: all.
  int64_t window_of(int64_t layer) const {
    return window_period > 0 && (layer + 1) % window_period == 0 ? 0 : sliding_window;
  }
  bool has_local_rope() const { return sliding_window > 0 && local_rope_base > 0; }
  /// Longrope rotates all positions of a context in one of two ways: for those up to the original size, and
  /// for larger ones. What read_model_config() returns is for the former.
  void use_context(int64_t context) {
    if (context > rope_original_context && !rope_divisors_long.empty()) rope_divisors = rope_divisors_long;
  }
};

/// Whether queries, keys and values that come from latent vectors in this way take a tensor of this role,
/// which is there by_config.
bool asked_for(Role role, const LatentConfig& latent);
/// Whether layer `layer` (0 for tensors outside layers) may have a family's tensor, by its kind and numbers.
bool may_have(const ModelConfig& config, const TensorRule& rule, int64_t layer);

/// Every number range-checked and compared with the tensors' shapes: what it returns can be run.
Result<ModelConfig> read_model_config(const Checkpoint& checkpoint);

/// cos and sin of rotary_dim / 2 frequencies at one position, scaling and yarn magnitude included.
void rope_row(const ModelConfig& c, int64_t position, float* cos, float* sin);
/// The same for the layers with a window, where has_local_rope().
void local_rope_row(const ModelConfig& c, int64_t position, float* cos, float* sin);

}  // namespace carat
