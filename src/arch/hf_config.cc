// Keys that mean the same on both sides are one table. Everything else that a Hugging Face model of these
// families lets config.json change (rotary scaling, windows, activation) is either honoured or refused: a key
// that is ignored here would be a model that quietly computes something else.
#include "arch/hf_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "arch/hf_keys.h"
#include "arch/hf_reader.h"
#include "arch/metadata_json.h"
#include "containers/quote.h"

namespace carat {

const json::object* hf_rope_object(const json::object& object) {
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
    if (const json::object* rope = json_object(object.if_contains(key))) {
      if (const json::object* full = json_object(rope->if_contains("full_attention"))) return full;
      return rope;
    }
  }
  return nullptr;
}

namespace {

struct CountKey {
  std::string_view hf, gguf;
  bool required;
  std::string_view others[2] = {};  ///< names that some classes have for it
};
constexpr CountKey kCounts[] = {
    {"num_hidden_layers", "block_count", true, {"n_layer"}},
    {"max_position_embeddings", "context_length", false, {"n_positions"}},
    {"hidden_size", "embedding_length", true, {"n_embd"}},
    {"intermediate_size", "feed_forward_length", false, {"n_inner", "ffn_hidden_size"}},
    {"num_attention_heads", "attention.head_count", true, {"n_head"}},
    {"num_key_value_heads", "attention.head_count_kv", false},
};
/// By NormKind; GGUF's, then Hugging Face's.
constexpr std::string_view kEpsilon[] = {"attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"};

Status find_class(const json::object& object, HfConfig& out) {
  std::string found;
  if (const json::array* names = json_array(object.if_contains("architectures"))) {
    for (const json::value& name : *names) {
      const json::string* s = name.if_string();
      if (!s) return bad_data("architectures holds something that is not a string");
      if (found.empty()) found = std::string(*s);
      out.family = find_family_of_class(*s, &out.hf_class);
      if (out.family) return {};
    }
  }
  const json::string* type = json_string(object.if_contains("model_type"));
  if (found.empty() && type) {
    found = std::string(*type);
    for (const Family* family : all_families())
      for (const HfClass& c : family->classes)
        if (c.model_type == std::string_view(*type)) {
          out.family = family;
          out.hf_class = &c;
          return {};
        }
  }
  if (found.empty()) return bad_data("neither architectures nor model_type says what model this is");
  return bad_data("architecture {} is not supported; carat reads {}", quote(found), hf_class_names());
}

/// YaRN's magnitude for a factor, scaled by k (transformers' get_mscale).
double yarn_magnitude(double factor, double k = 1.0) {
  return factor <= 1.0 ? 1.0 : 0.1 * k * std::log(factor) + 1.0;
}

Status read_yarn(const HfReader& rope, const std::string& prefix, double factor, Metadata& m) {
  CARAT_TRY(const auto context, rope.count("original_max_position_embeddings"));
  if (context) m.set(prefix + "original_context_length", Value::u32(static_cast<uint32_t>(*context)));
  // A key of carat's own: llama.cpp always widens the range to whole pairs.
  CARAT_TRY(const auto truncate, rope.boolean("truncate"));
  if (truncate && !*truncate) m.set(prefix + "yarn_truncate", Value::boolean(false));
  CARAT_TRY(auto attention, rope.number("attention_factor", 1e-3, 1e3));
  CARAT_TRY(const auto mscale, rope.number("mscale", 0.0, 1e3));
  CARAT_TRY(const auto all, rope.number("mscale_all_dim", 0.0, 1e3));
  if (!attention && mscale && all && *mscale != 0.0 && *all != 0.0)
    attention = yarn_magnitude(factor, *mscale) / yarn_magnitude(factor, *all);
  // transformers' attention_factor is the whole magnitude; GGUF's attn_factor multiplies YaRN's own.
  if (attention)
    m.set(prefix + "attn_factor", Value::f32(static_cast<float>(*attention / yarn_magnitude(factor))));
  const std::pair<std::string_view, std::string_view> numbers[] = {
      {"extrapolation_factor", "yarn_ext_factor"},
      {"beta_fast", "yarn_beta_fast"},
      {"beta_slow", "yarn_beta_slow"}};
  for (const auto& [hf, gguf] : numbers) {
    CARAT_TRY(const auto x, rope.number(hf, 0.0, 1e6));
    if (x) m.set(prefix + std::string(gguf), Value::f32(static_cast<float>(*x)));
  }
  return {};
}

Status read_rope(const HfConfig& config, double base, Metadata& m, std::vector<float>& divisors) {
  const json::object* object = hf_rope_object(config.object);
  if (!object) return {};
  const HfReader rope(*object);
  const json::value* said = rope.find("rope_type");
  if (!said) said = rope.find("type");
  if (!said && rope.find("factor"))
    return bad_data("rope_scaling has a factor, but no rope_type says of what");
  if (!said) return {};
  const json::string* type = said->if_string();
  if (!type) return bad_data("rope_scaling has a type that is not a string");
  if (*type == "default") return {};
  if ((*type == "longrope" || *type == "su") && config.family->rule(Role::rope_divisors_long)) return {};
  const std::string prefix = fmt::format("{}.rope.scaling.", config.family->architecture);
  CARAT_TRY(const std::optional<double> factor, rope.number("factor", 1e-3, 1e6));
  if (!factor) return bad_data("rope_scaling of type {} has no factor", quote(*type));
  if (*type == "llama3") {
    if (!config.family->rule(Role::rope_divisors))
      return bad_data("rope_scaling of type \"llama3\" is not supported for {}", config.family->architecture);
    Llama3Scaling s{.factor = *factor};
    CARAT_TRY(s.low_freq_factor, rope.number_or("low_freq_factor", 1e-3, 1e6, s.low_freq_factor));
    CARAT_TRY(s.high_freq_factor, rope.number_or("high_freq_factor", 1e-3, 1e6, s.high_freq_factor));
    CARAT_TRY(s.original_context,
              rope.number_or("original_max_position_embeddings", 1.0,
                             static_cast<double>(HfReader::kMaxCount), s.original_context));
    if (s.high_freq_factor <= s.low_freq_factor)
      return bad_data("rope_scaling has high_freq_factor {}, not above low_freq_factor {}",
                      s.high_freq_factor, s.low_freq_factor);
    divisors = llama3_divisors(s, base, config.head_dim);
    return {};
  }
  if (*type != "linear" && *type != "yarn")
    return bad_data("rope_scaling of type {} is not supported; carat knows linear, llama3 and yarn",
                    quote(*type));
  m.set(prefix + "type", Value::string(std::string(*type)));
  m.set(prefix + "factor", Value::f32(static_cast<float>(*factor)));
  if (*type == "yarn") CARAT_DO(read_yarn(rope, prefix, *factor, m));
  return {};
}

/// The window that all layers share, 0 for none; layers that differ are refused.
Result<int64_t> read_window(const HfConfig& config, const HfReader& read, int64_t layers) {
  if (config.hf_class->window == HfClass::Window::never) return 0;
  CARAT_TRY(const auto window, read.count("sliding_window"));
  if (!window) return 0;
  if (const json::array* types = json_array(read.find("layer_types"))) {
    const auto sliding = std::count_if(types->begin(), types->end(), [](const json::value& t) {
      return t.is_string() && t.get_string() == "sliding_attention";
    });
    if (sliding == 0) return 0;
    if (static_cast<size_t>(sliding) == types->size()) return *window;
    return bad_data("layer_types mixes layers with and without a sliding window, which is not supported");
  }
  if (config.hf_class->window == HfClass::Window::always) return *window;
  CARAT_TRY(const auto use, read.boolean("use_sliding_window"));
  if (!use.value_or(false)) return 0;
  CARAT_TRY(const auto full, read.count("max_window_layers", 0));
  const int64_t without = full.value_or(28);  // both Qwen classes' default
  if (without >= layers) return 0;
  if (without == 0) return *window;
  return bad_data(
      "max_window_layers is {} of {} layers: layers with and without a sliding window are not supported",
      without, layers);
}

/// Which families share: its tensors say what they are (hf_packed.h).
bool is_nvfp4(const json::object& quantization) {
  const auto says = [&](std::string_view key, std::string_view value) {
    const json::string* text = json_string(quantization.if_contains(key));
    return text && *text == value;
  };
  return (says("quant_method", "modelopt") && says("quant_algo", "NVFP4")) ||
         (says("quant_method", "compressed-tensors") && says("format", "nvfp4-pack-quantized"));
}

Status refuse_what_is_not_honoured(const HfReader& read, const HfSide& side) {
  if (const json::object* q = json_object(read.find("quantization_config"))) {
    const json::string* method = json_string(q->if_contains("quant_method"));
    const bool read_so =
        is_nvfp4(*q) ||
        (method && std::ranges::find(side.quantized, std::string_view(*method)) != side.quantized.end());
    if (!read_so)
      return bad_data("the weights are already quantized ({}); start from the original model",
                      method ? quote(*method) : "quantization_config");
  }
  // Gemma's hidden_act is an older name, which transformers ignores where there is hidden_activation.
  const bool newer = read.find("hidden_activation") != nullptr;
  for (const std::string_view key :
       {"hidden_activation", "hidden_act", "activation_function", "activation"}) {
    const json::value* act = read.find(key);
    if (!act || (newer && key == "hidden_act")) continue;
    if (std::ranges::none_of(side.activations,
                             [&](std::string_view known) { return *act == json::string(known); }))
      return bad_data("{} is {}; models of this class use {}", key, HfReader::short_text(*act),
                      side.activations.front());
  }
  for (const std::string_view key : {"rope_parameters", "rope_scaling"})
    if (const json::value* rope = read.find(key); rope && !rope->is_object())
      return bad_data("{} is {}, not an object", key, HfReader::short_text(*rope));
  CARAT_TRY(const auto rotary, read.number("partial_rotary_factor", 0.0, 1.0));
  if (!side.rotary_share && rotary && *rotary != 1.0)
    return bad_data("partial_rotary_factor {} is not supported", *rotary);
  return {};
}

Result<double> read_epsilon(const HfReader& read, NormKind norm) {
  if (norm == NormKind::rms) return read.number_or("rms_norm_eps", 0.0, 1.0, 1e-6);
  for (const std::string_view key : {"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"})
    if (read.find(key)) return read.number_or(key, 0.0, 1.0, 1e-5);
  return 1e-5;
}

/// How much of a head is rotated, for families where it may be a part.
Status read_rotary_share(const HfReader& read, HfConfig& out) {
  double share = *out.family->hf.rotary_share;
  CARAT_TRY(const auto said, read.number("partial_rotary_factor", 0.0, 1.0));
  share = said.value_or(share);
  if (const json::object* rope = hf_rope_object(out.object)) {
    CARAT_TRY(const auto inner, HfReader(*rope).number("partial_rotary_factor", 0.0, 1.0));
    share = inner.value_or(share);
  }
  const auto rotary = static_cast<int64_t>(static_cast<double>(out.head_dim) * share);
  if (rotary < 2 || rotary % 2 != 0)
    return bad_data("partial_rotary_factor {} leaves {} of {} dimensions of a head, which are no pairs",
                    share, rotary, out.head_dim);
  out.metadata.set(fmt::format("{}.rope.dimension_count", out.family->architecture),
                   Value::u32(static_cast<uint32_t>(rotary)));
  return {};
}

Status fill_metadata(const HfReader& read, HfConfig& out) {
  Metadata& m = out.metadata;
  const std::string prefix = std::string(out.family->architecture) + ".";
  int64_t layers = 0, width = 0, heads = 0;
  for (const CountKey& key : kCounts) {
    CARAT_TRY(std::optional<int64_t> n, read.count(key.hf));
    for (const std::string_view other : key.others)
      if (!n && !other.empty()) {
        CARAT_TRY(n, read.count(other));
      }
    if (!n && key.hf == "max_position_embeddings") n = out.hf_class->default_context;
    // Classes without a gate have four times the width where config.json is silent.
    const bool gated = out.family->rule(Role::gate) || out.family->rule(Role::gate_up);
    if (!n && key.hf == "intermediate_size" && !gated) n = 4 * width;
    if (!n && (key.required || key.hf == "intermediate_size")) return bad_data("{} is missing", key.hf);
    if (!n) continue;
    m.set(prefix + std::string(key.gguf), Value::u32(static_cast<uint32_t>(*n)));
    if (key.hf == "num_hidden_layers") layers = *n;
    if (key.hf == "hidden_size") width = *n;
    if (key.hf == "num_attention_heads") heads = *n;
  }
  if (const json::array* types = json_array(read.find("layer_types"));
      types && types->size() != static_cast<size_t>(layers))
    return bad_data("layer_types is for {} layers, but num_hidden_layers is {}", types->size(), layers);
  CARAT_TRY(std::optional<double> theta, read.number("rope_theta", 1.0, 1e30));
  if (const json::object* rope = hf_rope_object(out.object)) {
    CARAT_TRY(const std::optional<double> inner, HfReader(*rope).number("rope_theta", 1.0, 1e30));
    if (inner) theta = inner;
  }
  const double base = theta.value_or(10000.0);
  const bool rotates = !out.family->rule(Role::position_embedding);
  if (rotates) m.set(prefix + "rope.freq_base", Value::f32(static_cast<float>(base)));
  CARAT_TRY(const double epsilon, read_epsilon(read, out.family->norm));
  m.set(prefix + std::string(kEpsilon[static_cast<size_t>(out.family->norm)]),
        Value::f32(static_cast<float>(epsilon)));

  const std::string_view head_size = out.family->hf.head_size;
  CARAT_TRY(std::optional<int64_t> head, read.count(head_size));
  if (!head && head_size != "head_dim") return bad_data("{} is missing", head_size);
  if (!head && out.hf_class->default_head_dim > 0) head = out.hf_class->default_head_dim;
  if (head) {
    m.set(prefix + "attention.key_length", Value::u32(static_cast<uint32_t>(*head)));
    m.set(prefix + "attention.value_length", Value::u32(static_cast<uint32_t>(*head)));
  } else if (width % heads != 0) {
    return bad_data("hidden_size {} does not divide into {} heads, and there is no head_dim", width, heads);
  }
  out.head_dim = head.value_or(width / heads);
  if (rotates && (out.head_dim < 2 || out.head_dim % 2 != 0 || out.head_dim > 65536))
    return bad_data("a head of {} dimensions cannot be rotated in pairs", out.head_dim);

  CARAT_TRY(const int64_t window, read_window(out, read, layers));
  if (window > 0) m.set(prefix + "attention.sliding_window", Value::u32(static_cast<uint32_t>(window)));
  if (rotates) CARAT_DO(read_rope(out, base, m, out.divisors));
  if (out.family->hf.rotary_share) CARAT_DO(read_rotary_share(read, out));
  CARAT_TRY(const auto vocabulary, read.count("vocab_size"));
  out.vocabulary = vocabulary.value_or(0);
  if (out.hf_class->mixture)
    CARAT_DO(read_hf_keys(read, out.family->architecture, out.family->expert_keys, m));
  CARAT_DO(read_hf_keys(read, out.family->architecture, out.family->hf.keys, m));
  if (out.family->hf.read_own) CARAT_DO(out.family->hf.read_own(read, out));
  return {};
}

}  // namespace

Result<HfConfig> read_hf_config(std::string_view text) {
  CARAT_TRY(json::value root, parse_json(text));
  HfConfig out;
  if (!root.is_object()) return bad_data("is not a JSON object");
  out.object = std::move(root.get_object());
  CARAT_DO(find_class(out.object, out));
  const HfReader read(out.object);
  CARAT_DO(refuse_what_is_not_honoured(read, out.family->hf));
  CARAT_DO(fill_metadata(read, out));
  CARAT_TRY(out.tied, read.boolean("tie_word_embeddings"));
  if (const json::value* carried = read.find("gguf_metadata")) {
    if (!carried->is_object()) return bad_data("gguf_metadata is not an object");
    CARAT_DO(metadata_from_json(carried->get_object(), out.carried));
  }
  return out;
}

// Llama 3.1's rule (meta-llama's apply_scaling, transformers' _compute_llama3_parameters): frequencies whose
// wavelength is short against the original context stay, long ones are divided by the factor, and between the
// two the divisor changes smoothly. Stored as what the plain frequency is divided by.
std::vector<float> llama3_divisors(const Llama3Scaling& s, double base, int64_t head_dim) {
  std::vector<float> out;
  const double longest_kept = s.original_context / s.high_freq_factor;
  const double shortest_scaled = s.original_context / s.low_freq_factor;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double wavelength = 2.0 * std::numbers::pi * std::pow(base, exponent);
    double divisor = 1.0;
    if (wavelength > shortest_scaled) {
      divisor = s.factor;
    } else if (wavelength >= longest_kept) {
      const double smooth =
          (s.original_context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
      divisor = 1.0 / ((1.0 - smooth) / s.factor + smooth);
    }
    out.push_back(static_cast<float>(divisor));
  }
  return out;
}

namespace {

/// Parameters that give these divisors, or nothing. Models in the wild keep Meta's low and high factors and
/// differ in factor and original context.
std::optional<Llama3Scaling> find_llama3(const std::vector<float>& divisors, double base) {
  const double largest = *std::max_element(divisors.begin(), divisors.end());
  const auto head_dim = static_cast<int64_t>(divisors.size()) * 2;
  for (const double context : {8192.0, 2048.0, 4096.0, 16384.0, 32768.0, 65536.0, 131072.0}) {
    const Llama3Scaling s{.factor = largest, .original_context = context};
    const std::vector<float> ours = llama3_divisors(s, base, head_dim);
    bool same = true;
    for (size_t i = 0; i < ours.size(); ++i)
      same = same && std::abs(ours[i] - divisors[i]) <= 1e-5f * ours[i];
    if (same) return s;
  }
  return std::nullopt;
}

Result<json::value> make_rope(const Metadata& m, const std::string& prefix, const HfExport& facts,
                              double base) {
  CARAT_TRY(const std::string type, m.string_or(prefix + "type", "linear"));
  CARAT_TRY(double factor, m.number_or(prefix + "factor", 1.0));
  factor = short_decimal(factor == 0.0 ? 1.0 : factor);
  CARAT_TRY(const double attention, m.number_or(prefix + "attn_factor", 1.0));
  if (attention != 1.0 && type != "yarn")
    return bad_data("{}attn_factor without yarn scaling has no place in config.json", prefix);
  json::object rope;
  if (!facts.divisors.empty()) {
    const auto s = find_llama3(facts.divisors, base);
    if (!s || (type != "none" && factor != 1.0))
      return bad_data(
          "rope_freqs.weight follows from no llama3 parameters that carat knows, and config.json has no "
          "other way to say it");
    rope["rope_type"] = "llama3";
    rope["factor"] = s->factor;
    rope["low_freq_factor"] = s->low_freq_factor;
    rope["high_freq_factor"] = s->high_freq_factor;
    rope["original_max_position_embeddings"] = static_cast<int64_t>(s->original_context);
    return json::value(rope);
  }
  if (type == "none" || (type == "linear" && factor == 1.0)) return json::value(nullptr);
  if (type != "linear" && type != "yarn")
    return bad_data("{}type {} has no place in config.json that carat knows", prefix, quote(type));
  rope["rope_type"] = type;
  rope["type"] = type;  // what transformers before 4.43 reads
  rope["factor"] = factor;
  if (type == "linear") return json::value(rope);
  if (m.has(prefix + "original_context_length")) {
    CARAT_TRY(const int64_t context, m.signed_at(prefix + "original_context_length"));
    rope["original_max_position_embeddings"] = context;
  }
  if (m.has(prefix + "attn_factor")) rope["attention_factor"] = attention * yarn_magnitude(factor);
  const std::pair<std::string_view, std::string_view> numbers[] = {
      {"extrapolation_factor", "yarn_ext_factor"},
      {"beta_fast", "yarn_beta_fast"},
      {"beta_slow", "yarn_beta_slow"}};
  for (const auto& [hf, gguf] : numbers) {
    if (!m.has(prefix + std::string(gguf))) continue;
    CARAT_TRY(const double x, m.number_at(prefix + std::string(gguf)));
    rope[hf] = short_decimal(x);
  }
  if (m.has(prefix + "yarn_truncate")) {
    CARAT_TRY(const bool truncate, m.bool_at(prefix + "yarn_truncate"));
    rope["truncate"] = truncate;
  }
  return json::value(rope);
}

}  // namespace

Result<json::object> make_hf_config(const Metadata& m, const HfExport& facts, json::object out) {
  const Family& family = *facts.family;
  const std::string prefix = std::string(family.architecture) + ".";
  CARAT_TRY(const uint64_t window, m.unsigned_or(prefix + "attention.sliding_window", 0));
  CARAT_TRY(const uint64_t experts, m.unsigned_or(prefix + "expert_count", 0));
  const HfClass* hf_class = nullptr;
  for (const HfClass& c : family.classes) {
    if (c.mixture != (experts > 0)) continue;
    if (!hf_class || (window > 0 && hf_class->window == HfClass::Window::never)) hf_class = &c;
  }
  if (!hf_class)
    return bad_data("{} with {} experts has no class in Hugging Face", family.architecture, experts);
  // A source that named its class keeps it: the two classes of llama compute the same where there is no
  // window.
  HfConfig before;
  if (find_class(out, before).ok() && before.family == &family && window == 0 &&
      before.hf_class->mixture == hf_class->mixture)
    hf_class = before.hf_class;

  out.erase("quantization_config");  // floats are written
  out["architectures"] = json::array{json::string(hf_class->name)};
  out["model_type"] = json::string(hf_class->model_type);
  for (const CountKey& key : kCounts) {
    if (!m.has(prefix + std::string(key.gguf))) continue;
    CARAT_TRY(const int64_t n, m.signed_at(prefix + std::string(key.gguf)));
    out[key.hf] = n;
  }
  out.erase("head_dim");
  const bool latent = family.hf.head_size != "head_dim";
  if (!latent && (m.has(prefix + "attention.key_length") || hf_class->default_head_dim > 0)) {
    CARAT_TRY(const uint64_t width, m.unsigned_at(prefix + "embedding_length"));
    CARAT_TRY(const uint64_t heads, m.unsigned_at(prefix + "attention.head_count"));
    const uint64_t plain = heads > 0 ? width / heads : 0;
    CARAT_TRY(const uint64_t keys, m.unsigned_or(prefix + "attention.key_length", plain));
    CARAT_TRY(const uint64_t values, m.unsigned_or(prefix + "attention.value_length", plain));
    if (keys != values)
      return bad_data("heads of {} dimensions for keys and {} for values have no place in config.json", keys,
                      values);
    out["head_dim"] = keys;
  }
  out["vocab_size"] = facts.vocabulary;
  CARAT_TRY(const double epsilon, m.number_at(prefix + std::string(kEpsilon[0])));
  out["rms_norm_eps"] = short_decimal(epsilon);
  CARAT_TRY(double base, m.number_or(prefix + "rope.freq_base", 10000.0));
  base = short_decimal(base);
  out["rope_theta"] = base;
  out.erase("rope_parameters");
  CARAT_TRY(out["rope_scaling"], make_rope(m, prefix + "rope.scaling.", facts, base));
  out["hidden_act"] = "silu";
  out["tie_word_embeddings"] = facts.tied;
  if (hf_class->window != HfClass::Window::by_flag) out["attention_bias"] = facts.qkv_bias;
  if (family.rule(Role::query_norm)) out["attention_bias"] = facts.qkv_bias;
  if (hf_class->window == HfClass::Window::by_flag) {
    out["use_sliding_window"] = window > 0;
    if (window > 0) out["max_window_layers"] = 0;
  }
  out.erase("layer_types");
  if (window > 0)
    out["sliding_window"] = window;
  else if (hf_class->window != HfClass::Window::by_flag || !out.contains("sliding_window"))
    out["sliding_window"] = nullptr;
  for (const std::string_view id : {"bos", "eos", "pad"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", id == "pad" ? "padding" : id);
    const std::string name = fmt::format("{}_token_id", id);
    if (!m.has(key) || out.contains(name)) continue;
    CARAT_TRY(const int64_t n, m.signed_at(key));
    out[name] = n;
  }
  if (hf_class->mixture) CARAT_DO(write_hf_keys(m, family.architecture, family.expert_keys, out));
  CARAT_DO(write_hf_keys(m, family.architecture, family.hf.keys, out));
  if (family.hf.write_own) {
    HfConfig own;
    own.object = std::move(out);
    CARAT_DO(family.hf.write_own(m, own));
    out = std::move(own.object);
  }
  out["torch_dtype"] = json::string(facts.torch_dtype);
  return out;
}

}  // namespace carat
