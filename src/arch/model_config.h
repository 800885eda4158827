// What the forward pass needs to know of a model, checked against the tensors' real shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "containers/checkpoint.h"

namespace carat {

enum class RopeScaling { none, linear, llama3, yarn };

/// Read from GGUF metadata ({arch}.*), which hf_import.h also makes from config.json.
struct ModelConfig {
  std::string architecture;  ///< GGUF's name: "llama", "qwen2", "qwen3"
  int64_t layers = 0;
  int64_t width = 0;  ///< embedding_length
  int64_t feed_forward = 0;
  int heads = 0, kv_heads = 0;
  int head_dim = 0, value_dim = 0;
  int rotary_dim = 0;
  bool rope_interleaved = true;  ///< pairs (0,1),(2,3): llama. false: halves (NeoX): qwen
  bool qkv_bias = false, qk_norm = false;
  float norm_epsilon = 1e-5f;
  int64_t vocabulary = 0;
  int64_t context_length = 0;
  int64_t sliding_window = 0;  ///< 0 = none
  float rope_base = 10000.0f;
  RopeScaling rope_scaling = RopeScaling::none;
  float rope_factor = 1.0f;
  int64_t rope_original_context = 0;
  float yarn_attention_factor = 1.0f;  ///< as llama.cpp's rope.scaling.attn_factor
  float yarn_beta_fast = 32.0f, yarn_beta_slow = 1.0f, yarn_ext_factor = 1.0f;
  std::vector<float> rope_divisors;  ///< rope_freqs.weight (llama3): head_dim / 2 divisors, or empty
  bool tied_embeddings = false;      ///< no output.weight
};

/// Every number range-checked and compared with the tensors' shapes: what it returns can be run.
Result<ModelConfig> read_model_config(const Checkpoint& checkpoint);

/// cos and sin of rotary_dim / 2 frequencies at one position, scaling and yarn magnitude included.
void rope_row(const ModelConfig& c, int64_t position, float* cos, float* sin);

}  // namespace carat
