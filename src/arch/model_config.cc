// Metadata -> ModelConfig. Key names and defaults are those of llama.cpp's loader (llama-hparams), so that a
// file means the same here and there. Every number is bounded by what the tensors really are: nothing is
// sized by a number of the file before that.
#include "arch/model_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "arch/family.h"
#include "containers/quote.h"

namespace carat {
namespace {

// No dimension of a real model comes near; products of three of them still fit 64 bits.
constexpr int64_t kMaxDimension = int64_t{1} << 20;
constexpr int64_t kMaxContext = int64_t{1} << 31;

class Reader {
 public:
  Reader(const Checkpoint& checkpoint, std::string_view architecture)
      : checkpoint_(checkpoint), architecture_(architecture) {}

  std::string key(std::string_view suffix) const { return fmt::format("{}.{}", architecture_, suffix); }
  bool has(std::string_view suffix) const { return checkpoint_.metadata.has(key(suffix)); }

  /// An integer in [low, high], or `fallback` where the key is missing; no fallback: the key must be there.
  /// A per-layer array of equal values is accepted as the one value.
  Result<int64_t> count(std::string_view suffix, int64_t low, int64_t high,
                        std::optional<int64_t> fallback = std::nullopt) const {
    const std::string name = key(suffix);
    const Value* value = checkpoint_.metadata.find(name);
    if (!value) {
      if (fallback) return *fallback;
      return bad_data("{}: metadata key {} is missing", checkpoint_.source, name);
    }
    int64_t n = 0;
    if (value->type == ValueType::array) {
      auto all = checkpoint_.metadata.integers_at(name);
      if (!all) return std::move(all).error().within(checkpoint_.source);
      if (all->empty()) return bad_data("{}: metadata key {} is an empty array", checkpoint_.source, name);
      n = all->front();
      if (std::any_of(all->begin(), all->end(), [n](int64_t x) { return x != n; }))
        return bad_data("{}: {} differs between layers, which carat cannot run", checkpoint_.source, name);
    } else {
      auto one = checkpoint_.metadata.signed_at(name);
      if (!one) return std::move(one).error().within(checkpoint_.source);
      n = *one;
    }
    if (n < low || n > high)
      return bad_data("{}: {} is {}, outside {} to {}", checkpoint_.source, name, n, low, high);
    return n;
  }

  /// A finite number in [low, high].
  Result<double> number(std::string_view suffix, double low, double high,
                        std::optional<double> fallback = std::nullopt) const {
    const std::string name = key(suffix);
    if (!checkpoint_.metadata.has(name)) {
      if (fallback) return *fallback;
      return bad_data("{}: metadata key {} is missing", checkpoint_.source, name);
    }
    auto x = checkpoint_.metadata.number_at(name);
    if (!x) return std::move(x).error().within(checkpoint_.source);
    if (!(*x >= low && *x <= high))
      return bad_data("{}: {} is {}, outside {} to {}", checkpoint_.source, name, *x, low, high);
    return *x;
  }

  Result<std::string> text(std::string_view suffix, std::string fallback) const {
    auto s = checkpoint_.metadata.string_or(key(suffix), std::move(fallback));
    if (!s) return std::move(s).error().within(checkpoint_.source);
    return s;
  }

 private:
  const Checkpoint& checkpoint_;
  std::string_view architecture_;
};

int64_t size_of(Dim dim, const ModelConfig& c) {
  switch (dim) {
    case Dim::vocabulary:
      return c.vocabulary;
    case Dim::width:
      return c.width;
    case Dim::feed_forward:
      return c.feed_forward;
    case Dim::head:
      return c.head_dim;
    case Dim::half_rotary:
      return c.rotary_dim / 2;
    case Dim::queries:
      return int64_t{c.heads} * c.head_dim;
    case Dim::keys:
      return int64_t{c.kv_heads} * c.head_dim;
    case Dim::values:
      return int64_t{c.kv_heads} * c.value_dim;
    case Dim::mixed_values:
      return int64_t{c.heads} * c.value_dim;
  }
  return 0;
}

Status check_tensor(const Checkpoint& checkpoint, const ModelConfig& c, const TensorRule& rule,
                    const Tensor& tensor) {
  std::vector<int64_t> expected;
  for (Dim dim : rule.shape) expected.push_back(size_of(dim, c));
  if (tensor.shape != expected)
    return bad_data("{}: tensor {} has shape [{}], but the metadata asks for [{}]", checkpoint.source,
                    tensor.name, fmt::join(tensor.shape, ", "), fmt::join(expected, ", "));
  if (!tensor.encoding || !tensor.encoding->can_decode())
    return bad_data("{}: tensor {} is stored as {}, which carat can carry but not compute with",
                    checkpoint.source, tensor.name,
                    tensor.encoding ? tensor.encoding->name : "an unknown type");
  return {};
}

/// All tensors of the family there and of the right shape; sets qkv_bias and qk_norm.
Status check_tensors(const Checkpoint& checkpoint, const Family& family, ModelConfig& c) {
  for (const TensorRule& rule : family.tensors) {
    const int64_t times = rule.per_layer() ? c.layers : 1;
    bool wanted = rule.presence == Presence::required;
    if (rule.presence == Presence::all_or_none) wanted = c.qkv_bias;
    for (int64_t i = 0; i < times; ++i) {
      const std::string name = rule.gguf_name(i);
      const Tensor* tensor = checkpoint.find(name);
      if (!tensor && wanted)
        return bad_data("{}: tensor {} is missing; {} with {} layers needs it", checkpoint.source, name,
                        family.architecture, c.layers);
      if (tensor) CARAT_DO(check_tensor(checkpoint, c, rule, *tensor));
    }
  }
  return {};
}

bool any_bias(const Checkpoint& checkpoint, const Family& family, int64_t layers) {
  for (const TensorRule& rule : family.tensors) {
    if (rule.role != Role::query_bias && rule.role != Role::key_bias && rule.role != Role::value_bias)
      continue;
    if (rule.presence == Presence::required) return true;
    for (int64_t i = 0; i < layers; ++i)
      if (checkpoint.find(rule.gguf_name(i))) return true;
  }
  return false;
}

/// A tensor in the path from tokens to logits that the forward pass would leave out: running the model
/// without it would be silently wrong. (Tensors elsewhere are none of its business, and old files carry the
/// rotary frequencies per layer, which follow from the metadata.)
Status refuse_unused(const Checkpoint& checkpoint, const Family& family, const ModelConfig& c) {
  for (const Tensor& tensor : checkpoint.tensors) {
    const std::string_view name = tensor.name;
    if (name.ends_with(".attn_rot_embd") || name.ends_with("rotary_emb.inv_freq")) continue;
    const bool in_layer = name.starts_with("blk.");
    const auto starts = [&](std::string_view prefix) { return name.starts_with(prefix); };
    // The last two are names that conversion carries because no rule maps them: "model.layers.0.mlp.bias".
    if (!in_layer && !starts("output") && !starts("token_embd") && !starts("model.") && !starts("lm_head"))
      continue;
    const bool known = std::any_of(family.tensors.begin(), family.tensors.end(), [&](const TensorRule& rule) {
      if (!rule.per_layer()) return name == rule.gguf;
      const size_t tail = name.size() < 5 ? std::string_view::npos : name.find('.', 4);
      if (!in_layer || tail == std::string_view::npos || name.substr(tail) != rule.gguf.substr(6))
        return false;
      const std::string_view digits = name.substr(4, tail - 4);
      int64_t layer = 0;
      if (digits.empty() || digits.size() > 9) return false;
      for (char d : digits) {
        if (d < '0' || d > '9') return false;
        layer = layer * 10 + (d - '0');
      }
      return layer < c.layers && name == rule.gguf_name(layer);
    });
    if (!known)
      return bad_data(
          "{}: tensor {} is not part of {} with {} layers as carat knows it; it can be converted and "
          "quantized, but running the model without it would be wrong",
          checkpoint.source, quote(name), family.architecture, c.layers);
  }
  return {};
}

Status read_rope(const Checkpoint& checkpoint, const Reader& read, ModelConfig& c) {
  CARAT_TRY(const double base, read.number("rope.freq_base", 1.0, 1e30, 10000.0));
  c.rope_base = static_cast<float>(base);
  // llama.cpp takes an absent type for linear, and an absent or zero factor for 1; rope.scale_linear is an
  // older name of the factor.
  CARAT_TRY(const std::string type, read.text("rope.scaling.type", "linear"));
  CARAT_TRY(const double old_factor, read.number("rope.scale_linear", 0.0, 1e6, 0.0));
  CARAT_TRY(double factor, read.number("rope.scaling.factor", 0.0, 1e6, old_factor));
  if (factor == 0.0) factor = 1.0;
  if (factor < 1e-3)
    return bad_data("{}: {} is {}, outside 0.001 to 1000000", checkpoint.source,
                    read.key("rope.scaling.factor"), factor);
  if (type == "none") {
    factor = 1.0;
  } else if (type == "linear") {
    if (factor != 1.0) c.rope_scaling = RopeScaling::linear;
  } else if (type == "yarn") {
    c.rope_scaling = RopeScaling::yarn;
  } else {
    return bad_data("{}: {} is {}; carat knows none, linear and yarn (and llama3 as rope_freqs.weight)",
                    checkpoint.source, read.key("rope.scaling.type"), quote(type));
  }
  c.rope_factor = static_cast<float>(factor);
  CARAT_TRY(c.rope_original_context,
            read.count("rope.scaling.original_context_length", 1, kMaxContext, c.context_length));
  const bool yarn = c.rope_scaling == RopeScaling::yarn;
  CARAT_TRY(const double attention, read.number("rope.scaling.attn_factor", 1e-3, 1e3, 1.0));
  CARAT_TRY(const double extrapolation,
            read.number("rope.scaling.yarn_ext_factor", -1.0, 1.0, yarn ? 1.0 : 0.0));
  CARAT_TRY(const double fast, read.number("rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0));
  CARAT_TRY(const double slow, read.number("rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0));
  c.yarn_attention_factor = static_cast<float>(attention);
  // A negative value means "not set", as for llama.cpp's own option.
  c.yarn_ext_factor = static_cast<float>(extrapolation < 0.0 ? (yarn ? 1.0 : 0.0) : extrapolation);
  c.yarn_beta_fast = static_cast<float>(fast);
  c.yarn_beta_slow = static_cast<float>(slow);
  if (yarn && c.rope_base <= 1.0f)
    return bad_data("{}: {} must be above 1 for yarn", checkpoint.source, read.key("rope.freq_base"));
  return {};
}

Status read_divisors(const Checkpoint& checkpoint, ModelConfig& c) {
  const Tensor* tensor = checkpoint.find("rope_freqs.weight");
  if (!tensor) return {};
  CARAT_TRY(c.rope_divisors, tensor->read_all());
  for (size_t i = 0; i < c.rope_divisors.size(); ++i)
    if (!(c.rope_divisors[i] > 0.0f) || !std::isfinite(c.rope_divisors[i]))
      return bad_data("{}: rope_freqs.weight[{}] is {}, which cannot divide a frequency", checkpoint.source,
                      i, c.rope_divisors[i]);
  if (c.rope_scaling == RopeScaling::none) c.rope_scaling = RopeScaling::llama3;
  return {};
}

Status check_vocabulary(const Checkpoint& checkpoint, const Reader& read, const ModelConfig& c) {
  CARAT_TRY(const int64_t said, read.count("vocab_size", 1, kMaxContext, c.vocabulary));
  if (said != c.vocabulary)
    return bad_data("{}: {} is {}, but token_embd.weight has {} rows", checkpoint.source,
                    read.key("vocab_size"), said, c.vocabulary);
  if (!checkpoint.metadata.has("tokenizer.ggml.tokens")) return {};
  auto tokens = checkpoint.metadata.strings_at("tokenizer.ggml.tokens");
  if (!tokens) return std::move(tokens).error().within(checkpoint.source);
  if (static_cast<int64_t>((*tokens)->size()) != c.vocabulary)
    return bad_data("{}: tokenizer.ggml.tokens has {} tokens, but token_embd.weight has {} rows",
                    checkpoint.source, (*tokens)->size(), c.vocabulary);
  return {};
}

}  // namespace

Result<ModelConfig> read_model_config(const Checkpoint& checkpoint) {
  auto architecture = checkpoint.metadata.string_at("general.architecture");
  if (!architecture) return std::move(architecture).error().within(checkpoint.source);
  const Family* family = find_family(**architecture);
  if (!family)
    return bad_data("{}: architecture {} is not supported; carat runs {}", checkpoint.source, **architecture,
                    architecture_names());
  const Reader read(checkpoint, family->architecture);
  ModelConfig c;
  c.architecture = family->architecture;
  c.rope_interleaved = family->rope_interleaved;

  CARAT_TRY(const Tensor* embedding, checkpoint.at("token_embd.weight"));
  if (embedding->shape.size() != 2)
    return bad_data("{}: tensor token_embd.weight has {} dimensions, not 2", checkpoint.source,
                    embedding->shape.size());
  c.vocabulary = embedding->shape[0];
  if (c.vocabulary < 1 || c.vocabulary > kMaxContext)
    return bad_data("{}: token_embd.weight has {} rows", checkpoint.source, c.vocabulary);
  CARAT_TRY(c.width, read.count("embedding_length", 1, kMaxDimension));
  // Every layer has tensors, so their number bounds the layers whatever the key says.
  const auto tensor_count = static_cast<int64_t>(checkpoint.tensors.size());
  CARAT_TRY(c.layers, read.count("block_count", 1, std::max<int64_t>(tensor_count, 1)));
  CARAT_TRY(c.feed_forward, read.count("feed_forward_length", 1, 8 * kMaxDimension));
  CARAT_TRY(const int64_t heads, read.count("attention.head_count", 1, c.width * 64));
  CARAT_TRY(const int64_t kv_heads, read.count("attention.head_count_kv", 1, heads, heads));
  if (heads > kMaxDimension) return bad_data("{}: {} heads are too many", checkpoint.source, heads);
  if (heads % kv_heads != 0)
    return bad_data("{}: {} query heads do not divide into {} key-value heads", checkpoint.source, heads,
                    kv_heads);
  const bool own_head = read.has("attention.key_length") && read.has("attention.value_length");
  if (!own_head && c.width % heads != 0)
    return bad_data("{}: a width of {} does not divide into {} heads", checkpoint.source, c.width, heads);
  CARAT_TRY(const int64_t head_dim, read.count("attention.key_length", 1, 65536, c.width / heads));
  CARAT_TRY(const int64_t value_dim, read.count("attention.value_length", 1, 65536, c.width / heads));
  CARAT_TRY(const int64_t rotary, read.count("rope.dimension_count", 2, head_dim, head_dim));
  if (rotary % 2 != 0 || rotary < 2)
    return bad_data("{}: {} rotary dimensions are not a positive even number", checkpoint.source, rotary);
  if (family->rope_interleaved && rotary != head_dim)
    return bad_data("{}: {} is {}, but {} rotates whole heads of {}", checkpoint.source,
                    read.key("rope.dimension_count"), rotary, family->architecture, head_dim);
  c.heads = static_cast<int>(heads);
  c.kv_heads = static_cast<int>(kv_heads);
  c.head_dim = static_cast<int>(head_dim);
  c.value_dim = static_cast<int>(value_dim);
  c.rotary_dim = static_cast<int>(rotary);
  CARAT_TRY(const double epsilon, read.number("attention.layer_norm_rms_epsilon", 0.0, 1.0));
  c.norm_epsilon = static_cast<float>(epsilon);
  CARAT_TRY(c.context_length, read.count("context_length", 1, kMaxContext));
  CARAT_TRY(c.sliding_window, read.count("attention.sliding_window", 0, kMaxContext, 0));
  CARAT_TRY(const int64_t experts, read.count("expert_count", 0, kMaxDimension, 0));
  if (experts > 0)
    return bad_data("{}: {} says {} experts; mixtures of experts are not supported", checkpoint.source,
                    read.key("expert_count"), experts);
  CARAT_DO(read_rope(checkpoint, read, c));
  CARAT_DO(check_vocabulary(checkpoint, read, c));

  c.tied_embeddings = !checkpoint.find("output.weight");
  c.qkv_bias = any_bias(checkpoint, *family, c.layers);
  c.qk_norm = family->rule(Role::query_norm) != nullptr;
  CARAT_DO(check_tensors(checkpoint, *family, c));
  CARAT_DO(refuse_unused(checkpoint, *family, c));
  CARAT_DO(read_divisors(checkpoint, c));
  return c;
}

}  // namespace carat
