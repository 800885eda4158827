#include "arch/deepseek2_hf.h"

#include <algorithm>

#include "arch/hf_reader.h"
#include "containers/quote.h"

namespace carat {
namespace {

/// The value of a key that is a word, or what is meant where it is missing.
Result<std::string> word(const HfReader& read, std::string_view key, std::string_view fallback) {
  const json::value* said = read.find(key);
  if (!said) return std::string(fallback);
  if (!said->is_string()) return bad_data("{} is {}, not a string", key, HfReader::short_text(*said));
  return std::string(said->get_string());
}

/// How experts are chosen. The two versions differ in what their configurations mean besides what they say.
Status read_hf_routing(const HfReader& read, HfConfig& out) {
  const bool third = out.hf_class->name == std::string_view("DeepseekV3ForCausalLM");
  Metadata& m = out.metadata;
  const auto expect = [&](std::string_view key, std::string_view value) -> Status {
    CARAT_TRY(const std::string said, word(read, key, value));
    if (said == value) return {};
    return bad_data("{} is {}; carat runs {} with {} only", key, quote(said), out.hf_class->name, value);
  };
  CARAT_DO(expect("scoring_func", third ? "sigmoid" : "softmax"));
  m.set("deepseek2.expert_gating_func", Value::u32(third ? 2 : 1));
  CARAT_TRY(const auto normalised, read.boolean("norm_topk_prob"));
  if (!third && normalised.value_or(false))
    return bad_data("norm_topk_prob is true; carat runs {} without", out.hf_class->name);
  bool grouped = third;
  if (third) {
    CARAT_DO(expect("topk_method", "noaux_tc"));
  } else {
    CARAT_TRY(const std::string method, word(read, "topk_method", "greedy"));
    grouped = method == "group_limited_greedy";
    if (!grouped && method != "greedy")
      return bad_data("topk_method is {}; carat knows greedy and group_limited_greedy", quote(method));
  }
  if (!grouped) return {};
  for (const auto& [hf, gguf] :
       {std::pair("n_group", "expert_group_count"), std::pair("topk_group", "expert_group_used_count")}) {
    CARAT_TRY(const auto n, read.count(hf));
    if (!n) return bad_data("{} is missing", hf);
    m.set(fmt::format("deepseek2.{}", gguf), Value::u32(static_cast<uint32_t>(*n)));
  }
  return {};
}

/// GGUF has one number for YaRN's two, which all published models have alike, and says nothing else than that
/// rotations keep their size.
Status read_hf_yarn(HfConfig& out) {
  Metadata& m = out.metadata;
  const std::string prefix = "deepseek2.rope.scaling.";
  CARAT_TRY(const std::string type, m.string_or(prefix + "type", ""));
  if (type.empty()) return {};
  if (type != "yarn") return bad_data("rope_scaling of type {} is not supported for deepseek2", quote(type));
  const HfReader rope(*hf_rope_object(out.object));
  CARAT_TRY(const double one, rope.number_or("mscale", 0.0, 1e3, 0.0));
  CARAT_TRY(const double all, rope.number_or("mscale_all_dim", 0.0, 1e3, 0.0));
  CARAT_TRY(const double attention, rope.number_or("attention_factor", 1e-3, 1e3, 1.0));
  if (all == 0.0 || one != all || attention != 1.0)
    return bad_data(
        "rope_scaling has mscale {}, mscale_all_dim {} and attention_factor {}; carat runs deepseek2 with "
        "the "
        "first two alike and the third, if any, 1",
        one, all, attention);
  m.erase(prefix + "attn_factor");
  m.set(prefix + "yarn_log_multiplier", Value::f32(static_cast<float>(0.1 * all)));
  return {};
}

Status check_fp8(const HfReader& read) {
  const json::object* q = json_object(read.find("quantization_config"));
  const json::string* method = q ? json_string(q->if_contains("quant_method")) : nullptr;
  if (!method || *method != "fp8") return {};
  CARAT_TRY(const std::string format, word(HfReader(*q), "fmt", "e4m3"));
  const json::value* size = q->if_contains("weight_block_size");
  if (format == "e4m3" && size && *size == json::value(json::array{128, 128})) return {};
  return bad_data(
      "quantization_config is fp8 with fmt {} and weight_block_size {}; carat reads e4m3 in [128,128]",
      quote(format), size ? json::serialize(*size) : "missing");
}

Status write_hf_routing(const Metadata& m, json::object& config) {
  CARAT_TRY(const uint64_t function, m.unsigned_or("deepseek2.expert_gating_func", 0));
  CARAT_TRY(const uint64_t groups, m.unsigned_or("deepseek2.expert_group_count", 1));
  CARAT_TRY(const uint64_t used, m.unsigned_or("deepseek2.expert_group_used_count", 1));
  const bool third = function == 2, normalised = config["norm_topk_prob"] == json::value(true);
  if (!third && normalised)
    return bad_data("softmax with deepseek2.expert_weights_norm has no place in config.json");
  config["architectures"] = json::array{third ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"};
  config["model_type"] = third ? "deepseek_v3" : "deepseek_v2";
  config["norm_topk_prob"] = normalised;
  config["scoring_func"] = third ? "sigmoid" : "softmax";
  config["topk_method"] = third ? "noaux_tc" : groups > 1 ? "group_limited_greedy" : "greedy";
  config["n_group"] = groups;
  config["topk_group"] = used;
  if (!m.has("deepseek2.expert_weights_scale")) config["routed_scaling_factor"] = 1.0;
  if (!m.has("deepseek2.leading_dense_block_count")) config["first_k_dense_replace"] = 0;
  return {};
}

}  // namespace

Status read_hf_deepseek2(const HfReader& read, HfConfig& out) {
  Metadata& m = out.metadata;
  CARAT_DO(check_fp8(read));
  CARAT_TRY(const int64_t heads, m.signed_at("deepseek2.attention.head_count"));
  CARAT_TRY(const auto kv_heads, read.count("num_key_value_heads"));
  if (kv_heads && *kv_heads != heads)
    return bad_data("num_key_value_heads is {}, not num_attention_heads, {}", *kv_heads, heads);
  // Null says that there is none; the class has a rank of its own where nothing is said.
  if (!out.object.contains("q_lora_rank")) return bad_data("q_lora_rank is missing");
  CARAT_TRY(const auto query_rank, read.count("q_lora_rank"));
  int64_t sizes[3] = {};
  constexpr std::string_view kSizes[] = {"kv_lora_rank", "qk_nope_head_dim", "v_head_dim"};
  for (size_t i = 0; i < 3; ++i) {
    CARAT_TRY(const auto n, read.count(kSizes[i]));
    if (!n) return bad_data("{} is missing", kSizes[i]);
    if (*n > 65536) return bad_data("{} is {}, which is too many", kSizes[i], *n);
    sizes[i] = *n;
  }
  const auto [rank, plain, value] = sizes;
  const auto set = [&](std::string_view key, int64_t n) {
    m.set(fmt::format("deepseek2.attention.{}", key), Value::u32(static_cast<uint32_t>(n)));
  };
  if (query_rank) set("q_lora_rank", *query_rank);
  set("kv_lora_rank", rank);
  set("head_count_kv", 1);
  set("key_length", rank + out.head_dim);
  set("value_length", rank);
  set("key_length_mla", plain + out.head_dim);
  set("value_length_mla", value);
  m.set("deepseek2.rope.dimension_count", Value::u32(static_cast<uint32_t>(out.head_dim)));
  CARAT_TRY(const auto further, read.count("num_nextn_predict_layers", 0));
  out.further_layers = std::min<int64_t>(further.value_or(0), 16);
  CARAT_DO(read_hf_routing(read, out));
  return read_hf_yarn(out);
}

Status write_hf_deepseek2(const Metadata& m, HfConfig& out) {
  json::object& config = out.object;
  const auto number = [&](std::string_view key) { return m.signed_at(fmt::format("deepseek2.{}", key)); };
  const bool absorbed = m.has("deepseek2.attention.key_length_mla");
  CARAT_TRY(const int64_t key, number(absorbed ? "attention.key_length_mla" : "attention.key_length"));
  CARAT_TRY(config["v_head_dim"], number(absorbed ? "attention.value_length_mla" : "attention.value_length"));
  CARAT_TRY(const int64_t rotary, number("rope.dimension_count"));
  config["qk_rope_head_dim"] = rotary;
  config["qk_nope_head_dim"] = key - rotary;
  CARAT_TRY(config["kv_lora_rank"], number("attention.kv_lora_rank"));
  config["q_lora_rank"] = nullptr;
  if (m.has("deepseek2.attention.q_lora_rank")) {
    CARAT_TRY(config["q_lora_rank"], number("attention.q_lora_rank"));
  }
  CARAT_TRY(config["num_key_value_heads"], number("attention.head_count"));
  config["num_nextn_predict_layers"] = 0;
  if (json::object* rope = config["rope_scaling"].if_object()) {
    CARAT_TRY(const double log, m.number_or("deepseek2.rope.scaling.yarn_log_multiplier", 0.0));
    if (log == 0.0 || rope->contains("attention_factor"))
      return bad_data(
          "yarn with deepseek2.rope.scaling.attn_factor, or without yarn_log_multiplier, has no place in "
          "config.json");
    (*rope)["mscale"] = (*rope)["mscale_all_dim"] = short_decimal(10.0 * log);
  }
  return write_hf_routing(m, config);
}

}  // namespace carat
