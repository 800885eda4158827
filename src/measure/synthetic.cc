#include "measure/synthetic.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "arch/family.h"
#include "base/half.h"
#include "base/random.h"

namespace carat {
namespace {

constexpr double kDeviation = 0.02;
constexpr size_t kLevels = 1 << 16;

/// The 65536 quantiles of N(0, kDeviation), each equally likely: one table look-up per weight instead of
/// logarithms, which matters for eight billion of them.
const std::vector<float>& normal_levels() {
  static const std::vector<float> levels = [] {
    std::vector<float> out(kLevels);
    double z = 0;
    for (size_t i = 0; i < kLevels / 2; ++i) {
      const double p = 0.5 + (static_cast<double>(i) + 0.5) / kLevels;
      for (int step = 0; step < 8; ++step) {  // Newton from below, where it cannot overshoot
        const double density = std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
        z -= (0.5 * std::erfc(-z / std::numbers::sqrt2) - p) / density;
      }
      out[kLevels / 2 + i] = static_cast<float>(kDeviation * z);
      out[kLevels / 2 - 1 - i] = -out[kLevels / 2 + i];
    }
    return out;
  }();
  return levels;
}

/// The levels as bits of T, the unsigned type of one stored number.
template <class T>
std::vector<T> stored_levels(const Encoding& encoding) {
  std::vector<T> out(kLevels);
  for (size_t i = 0; i < kLevels; ++i) {
    const float x = normal_levels()[i];
    if constexpr (sizeof(T) == 4)
      out[i] = std::bit_cast<uint32_t>(x);
    else
      out[i] = &encoding == &encoding_f16() ? float_to_f16(x) : float_to_bf16(x);
  }
  return out;
}

template <class T>
class RandomRows final : public TensorData {
 public:
  RandomRows(std::shared_ptr<const std::vector<T>> levels, int64_t columns, uint64_t seed)
      : levels_(std::move(levels)), columns_(columns), seed_(seed) {}

  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    for (int64_t row = first; row < first + count; ++row) {
      Random random(Random(seed_ ^ static_cast<uint64_t>(row)).next());
      for (int64_t i = 0; i < columns_; i += 4) {
        const uint64_t bits = random.next();
        T group[4];
        for (int j = 0; j < 4; ++j) group[j] = (*levels_)[bits >> (16 * j) & 0xffff];
        const auto size = static_cast<size_t>(std::min<int64_t>(4, columns_ - i)) * sizeof(T);
        std::memcpy(out, group, size);
        out += size;
      }
    }
    return {};
  }

 private:
  std::shared_ptr<const std::vector<T>> levels_;
  int64_t columns_;
  uint64_t seed_;
};

/// A vector of ones, F32.
class Ones final : public TensorData {
 public:
  explicit Ones(int64_t columns) : columns_(columns) {}
  Status read_bytes(int64_t, int64_t count, uint8_t* out) const override {
    const std::vector<float> ones(static_cast<size_t>(columns_ * count), 1.0f);
    std::memcpy(out, ones.data(), ones.size() * sizeof(float));
    return {};
  }

 private:
  int64_t columns_;
};

/// Makes the tensors of one checkpoint.
class Maker {
 public:
  Maker(const Encoding& encoding, uint64_t seed) : encoding_(encoding), seeds_(seed) {
    if (&encoding == &encoding_f32())
      wide_ = std::make_shared<const std::vector<uint32_t>>(stored_levels<uint32_t>(encoding));
    else
      narrow_ = std::make_shared<const std::vector<uint16_t>>(stored_levels<uint16_t>(encoding));
  }

  Tensor tensor(std::string name, std::vector<int64_t> shape) {
    Tensor t;
    t.name = std::move(name);
    t.shape = std::move(shape);
    const bool matrix = t.shape.size() > 1;
    t.encoding = matrix ? &encoding_ : &encoding_f32();
    const uint64_t seed = seeds_.next();
    if (!matrix)
      t.data = std::make_shared<Ones>(t.columns());
    else if (wide_)
      t.data = std::make_shared<RandomRows<uint32_t>>(wide_, t.columns(), seed);
    else
      t.data = std::make_shared<RandomRows<uint16_t>>(narrow_, t.columns(), seed);
    return t;
  }

 private:
  const Encoding& encoding_;
  Random seeds_;
  std::shared_ptr<const std::vector<uint16_t>> narrow_;
  std::shared_ptr<const std::vector<uint32_t>> wide_;
};

/// Control tokens, the 256 bytes, then words of letters with a space before them: "▁a", "▁b", ..., "▁aa".
void add_tokenizer(int64_t vocabulary, Metadata& metadata) {
  constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(kByte);
  }
  const auto size = static_cast<size_t>(vocabulary);
  for (size_t i = 0; tokens.size() < size; ++i) {
    std::string word;
    for (size_t n = i + 1; n > 0; n = (n - 1) / 26)
      word.insert(word.begin(), static_cast<char>('a' + (n - 1) % 26));
    tokens.push_back("\xe2\x96\x81" + word);
    types.push_back(kNormal);
  }
  std::vector<float> scores(size, 0.0f);
  for (size_t i = 259; i < size; ++i) scores[i] = -static_cast<float>(i - 259);
  metadata.set("tokenizer.ggml.model", Value::string("llama"));
  metadata.set("tokenizer.ggml.pre", Value::string("default"));
  metadata.set("tokenizer.ggml.tokens", Value::strings(std::move(tokens)));
  metadata.set("tokenizer.ggml.scores", Value::f32s(std::move(scores)));
  metadata.set("tokenizer.ggml.token_type", Value::i32s(std::move(types)));
  metadata.set("tokenizer.ggml.unknown_token_id", Value::u32(0));
  metadata.set("tokenizer.ggml.bos_token_id", Value::u32(1));
  metadata.set("tokenizer.ggml.eos_token_id", Value::u32(2));
  metadata.set("tokenizer.ggml.add_bos_token", Value::boolean(true));
  metadata.set("tokenizer.ggml.add_eos_token", Value::boolean(false));
}

Metadata llama_metadata(const SyntheticShape& s, const Encoding& encoding) {
  constexpr uint32_t kF32 = 0, kF16 = 1, kBf16 = 32;  // general.file_type
  Metadata m;
  const auto count = [&](const char* key, int64_t n) {
    m.set(fmt::format("llama.{}", key), Value::u32(static_cast<uint32_t>(n)));
  };
  m.set("general.architecture", Value::string("llama"));
  m.set("general.type", Value::string("model"));
  m.set("general.name", Value::string("synthetic"));
  m.set("general.file_type", Value::u32(&encoding == &encoding_f32()   ? kF32
                                        : &encoding == &encoding_f16() ? kF16
                                                                       : kBf16));
  m.set("general.quantization_version", Value::u32(2));
  count("block_count", s.layers);
  count("context_length", s.context);
  count("embedding_length", s.width);
  count("feed_forward_length", s.feed_forward);
  count("attention.head_count", s.heads);
  count("attention.head_count_kv", s.kv_heads);
  m.set("llama.attention.layer_norm_rms_epsilon", Value::f32(1e-5f));
  m.set("llama.rope.freq_base", Value::f32(s.rope_base));
  count("rope.dimension_count", s.head_dim);
  count("attention.key_length", s.head_dim);
  count("attention.value_length", s.head_dim);
  count("vocab_size", s.vocabulary);
  add_tokenizer(s.vocabulary, m);
  return m;
}

}  // namespace

Result<Checkpoint> synthetic_llama(const SyntheticShape& s, const Encoding& encoding, uint64_t seed) {
  constexpr int64_t kSpecialTokens = 259;
  for (const int64_t n : {s.layers, s.width, s.feed_forward, s.heads, s.kv_heads, s.head_dim, s.context})
    if (n < 1 || n > 1 << 24) return usage_error("a dimension of {} cannot be", n);
  if (s.vocabulary < kSpecialTokens || s.vocabulary > 1 << 22)
    return usage_error("the vocabulary has to have {} to {} tokens", kSpecialTokens, 1 << 22);
  if (!encoding.is_float) return usage_error("synthetic weights are F32, F16 or BF16");
  Checkpoint c;
  c.source = "synthetic";
  c.container = "gguf";
  c.metadata = llama_metadata(s, encoding);
  Maker maker(encoding, seed);
  const auto add = [&](std::string name, std::vector<int64_t> shape) {
    c.tensors.push_back(maker.tensor(std::move(name), std::move(shape)));
  };
  const int64_t queries = s.heads * s.head_dim, keys = s.kv_heads * s.head_dim;
  add("token_embd.weight", {s.vocabulary, s.width});
  for (int64_t i = 0; i < s.layers; ++i) {
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}.weight", i, part); };
    add(name("attn_norm"), {s.width});
    add(name("attn_q"), {queries, s.width});
    add(name("attn_k"), {keys, s.width});
    add(name("attn_v"), {keys, s.width});
    add(name("attn_output"), {s.width, queries});
    add(name("ffn_norm"), {s.width});
    add(name("ffn_gate"), {s.feed_forward, s.width});
    add(name("ffn_up"), {s.feed_forward, s.width});
    add(name("ffn_down"), {s.width, s.feed_forward});
  }
  add("output_norm.weight", {s.width});
  if (!s.tied) add("output.weight", {s.vocabulary, s.width});
  CARAT_DO(c.reindex());
  if (auto config = read_model_config(c); !config.ok()) return std::move(config).error();
  return c;
}

Checkpoint synthetic_twin(const Checkpoint& model, const Encoding& encoding, uint64_t seed) {
  Checkpoint c = model;
  Maker maker(encoding, seed);
  for (Tensor& t : c.tensors)
    if (t.shape.size() > 1) t = maker.tensor(t.name, t.shape);
  return c;
}

}  // namespace carat
