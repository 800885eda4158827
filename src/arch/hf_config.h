// config.json <-> GGUF metadata, from the tables in hf_config.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "arch/family.h"
#include "containers/checkpoint.h"
#include "containers/json.h"

namespace carat {

/// config.json, read and understood.
struct HfConfig {
  const Family* family = nullptr;
  const HfClass* hf_class = nullptr;
  json::object object;       ///< the whole file
  std::optional<bool> tied;  ///< tie_word_embeddings, where it says
  int64_t head_dim = 0;
  int64_t vocabulary = 0;       ///< 0 where it does not say
  int64_t further_layers = 0;   ///< after the last, which predict further tokens and are left out
  std::vector<float> divisors;  ///< rope_freqs.weight of llama3 scaling, or empty
  std::vector<float> divisors_long, divisors_short;  ///< rope_factors_*.weight of longrope, or empty
  Metadata metadata;                                 ///< {arch}.* as llama.cpp's converter writes them
  Metadata carried;                                  ///< "gguf_metadata": what only GGUF has a key for
};

/// bad_data (without the file's name) for what is not a supported model, and for every value that would
/// change the function and that carat does not know how to honour.
Result<HfConfig> read_hf_config(std::string_view text);

/// The object with rotary parameters: rope_parameters (transformers 5), one level down where it is split by
/// kind of layer, or rope_scaling; null where there is none.
const json::object* hf_rope_object(const json::object& config);

/// Divisors of Llama 3's frequency scaling.
struct Llama3Scaling {
  double factor = 8.0, low_freq_factor = 1.0, high_freq_factor = 4.0, original_context = 8192.0;
};
std::vector<float> llama3_divisors(const Llama3Scaling& scaling, double base, int64_t head_dim);

/// The parts of config.json that follow from {arch}.* and the tensors, over those of `original` (the source's
/// own config.json, or empty), which keeps keys carat knows nothing of. bad_data where GGUF says something
/// that config.json cannot (rope divisors that no llama3 parameters give).
struct HfExport {
  const Family* family = nullptr;
  std::string_view torch_dtype;  ///< "bfloat16", "float16", "float32"
  int64_t vocabulary = 0;
  bool tied = false;
  bool qkv_bias = false;
  std::vector<float> divisors;  ///< rope_freqs.weight, or empty
};
Result<json::object> make_hf_config(const Metadata& metadata, const HfExport& facts, json::object original);

}  // namespace carat
