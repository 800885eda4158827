// Presents a Hugging Face directory the way llama.cpp's converter would have written it, lazily: a quantizer
// then streams from the safetensors to its output with no file in between.
#include "arch/hf_import.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "arch/hf_experts.h"
#include "arch/hf_forms.h"
#include "arch/hf_packed.h"
#include "arch/model_config.h"
#include "arch/tensor_scales.h"
#include "arch/tensor_views.h"
#include "containers/mapped_file.h"
#include "containers/quote.h"
#include "containers/safetensors.h"
#include "encodings/all.h"
#include "text/hf_tokenizer.h"

namespace carat {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kConfigLimit = 2u << 20;  // a tree of "[],[]," takes many times its text
constexpr uint64_t kSidecarLimit = 64u << 20;
// Pictures and papers are carried along, but what nothing reads must not be what fills the memory.
constexpr uint64_t kOtherFilesLimit = 16u << 20;  // together

bool is_weights(std::string_view name) {
  for (const std::string_view end : {".safetensors", ".bin", ".pth", ".pt", ".gguf", ".h5", ".msgpack",
                                     ".onnx", ".safetensors.index.json", ".bin.index.json"})
    if (name.ends_with(end)) return true;
  return false;
}

/// Files that say what the model is, however large.
bool is_needed(std::string_view name) {
  return name.ends_with(".json") || name.ends_with(".jinja") || name == "tokenizer.model" ||
         name == "merges.txt";
}

/// Regular files of the directory, by name; hidden ones are not the model's.
Result<std::vector<std::string>> list_files(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    std::error_code status;
    if (!name.starts_with(".") && it->is_regular_file(status)) names.push_back(name);
  }
  if (ec) return error(Code::no_input, "{}: cannot read the directory: {}", directory, ec.message());
  std::sort(names.begin(), names.end());
  return names;
}

/// What is wrong with a directory that is not a Hugging Face model carat can read.
Error explain(const std::string& directory, const std::vector<std::string>& files, bool has_config) {
  const auto with_end = [&](std::string_view end) {
    return std::find_if(files.begin(), files.end(), [&](const std::string& f) { return f.ends_with(end); });
  };
  if (const auto gguf = with_end(".gguf"); gguf != files.end())
    return error(Code::no_input, "{}: holds GGUF files; name the file itself, for example {}/{}", directory,
                 directory, *gguf);
  for (const std::string_view end : {".bin", ".pth", ".pt"})
    if (with_end(end) != files.end())
      return error(Code::no_input,
                   "{}: the weights are PyTorch pickles ({}), which can run code when read; convert them to "
                   "safetensors first (save_pretrained(..., safe_serialization=True) in transformers)",
                   directory, *with_end(end));
  if (!has_config && with_end(".safetensors") != files.end())
    return error(Code::no_input, "{}: has safetensors but no config.json, which says what model they are",
                 directory);
  return error(Code::no_input, "{}: is no model: a Hugging Face directory has config.json and *.safetensors",
               directory);
}

/// Whether two tensors hold the same bytes, slab by slab.
Result<bool> same_content(const Tensor& a, const Tensor& b) {
  if (a.shape != b.shape || a.encoding != b.encoding) return false;
  const uint64_t row = std::max<uint64_t>(a.row_bytes(), 1);
  const int64_t slab = static_cast<int64_t>(std::max<uint64_t>((8u << 20) / row, 1));
  std::vector<uint8_t> x, y;
  for (int64_t first = 0; first < a.rows(); first += slab) {
    const int64_t count = std::min(slab, a.rows() - first);
    x.resize(static_cast<uint64_t>(count) * row);
    y.resize(x.size());
    CARAT_DO(a.data->read_bytes(first, count, x.data()));
    CARAT_DO(b.data->read_bytes(first, count, y.data()));
    if (std::memcmp(x.data(), y.data(), x.size()) != 0) return false;
    a.data->release(first, count);
    b.data->release(first, count);
  }
  return true;
}

/// The tensor of a rule under one of its names, or null. Checkpoints of a bare transformer (GPT-2 as
/// published) leave its prefix out.
const Tensor* find_in_hf(const Checkpoint& source, const TensorRule& rule, int64_t layer) {
  static constexpr std::string_view kPrefix = "transformer.";
  for (const std::string& name : {rule.hf_name(layer), rule.hf_also_name(layer)}) {
    if (name.empty()) continue;
    if (const Tensor* t = source.find(name)) return t;
    if (name.starts_with(kPrefix))
      if (const Tensor* t = source.find(name.substr(kPrefix.size()))) return t;
  }
  return nullptr;
}

/// Whether lm_head is left to the embedding. config.json decides; where it says nothing, the file does.
Result<bool> is_tied(const HfConfig& config, const Checkpoint& source, std::vector<std::string>& left_out) {
  std::unordered_set<std::string_view> seen;  // they count as used where they are taken
  CARAT_TRY(const std::optional<HfWeights> head, find_weights(source, "lm_head.weight", seen));
  const bool tied = config.tied.value_or(!head);
  if (!tied && !head)
    return bad_data("config.json says tie_word_embeddings false, but there is no tensor lm_head.weight");
  const Tensor* embedding = find_in_hf(source, *config.family->rule(Role::token_embedding), 0);
  if (tied && head && embedding) {
    CARAT_TRY(const bool same, same_content(head->tensor, *embedding));
    if (!same)
      return bad_data(
          "config.json says tie_word_embeddings, but {} differs from {}; set it to false to use lm_head, or "
          "remove that tensor",
          head->tensor.name, embedding->name);
    left_out.push_back(fmt::format("{} (the same as {})", head->tensor.name, embedding->name));
  }
  return tied;
}

Result<HeadCounts> head_counts(const HfConfig& config) {
  const std::string prefix = fmt::format("{}.attention.", config.family->architecture);
  HeadCounts n;
  n.head_dim = config.head_dim;
  CARAT_TRY(n.heads, config.metadata.signed_at(prefix + "head_count"));
  n.kv_heads = n.heads;
  if (config.metadata.has(prefix + "head_count_kv")) {
    CARAT_TRY(n.kv_heads, config.metadata.signed_at(prefix + "head_count_kv"));
  }
  if (config.metadata.has(prefix + "key_length_mla")) {
    CARAT_TRY(const int64_t key, config.metadata.signed_at(prefix + "key_length_mla"));
    n.plain = key - config.head_dim;
    CARAT_TRY(n.value, config.metadata.signed_at(prefix + "value_length_mla"));
  }
  return n;
}

/// One tensor of the family, renamed and reordered.
Result<Tensor> present(const HfConfig& config, const TensorRule& rule, int64_t layer, const Tensor& source) {
  const Encoding* e = source.encoding;
  if (!e->is_float && !is_packed(*e))
    return bad_data("tensor {} is stored as {}; carat reads weights in F32, F16 and BF16", quote(source.name),
                    e->name);
  Tensor t = source;
  // A router of one output is a matrix of one row there.
  if (rule.role == Role::shared_router && t.shape.size() == 2 && t.shape[0] == 1)
    t.shape.erase(t.shape.begin());
  if (t.shape.size() != rank_in_hf(rule))
    return bad_data("tensor {} has {} dimensions, not {}", quote(source.name), source.shape.size(),
                    rank_in_hf(rule));
  if (rule.form != HfForm::same) {
    CARAT_TRY(const HeadCounts heads, head_counts(config));
    CARAT_TRY(t, from_hf_form(t, rule.form, heads));
  }
  t.name = rule.gguf_name(layer);
  // llama.cpp adds nothing but F32; only experts' biases have two dimensions.
  if (t.shape.size() == 1 || t.name.ends_with(".bias")) t = as_f32(t);
  const bool rotated = rule.role == Role::query || rule.role == Role::key || rule.role == Role::query_bias ||
                       rule.role == Role::key_bias;
  if (rotated && config.family->reorders_rotary()) {
    if (t.shape[0] % config.head_dim != 0)
      return bad_data("tensor {} has {} rows, which are not whole heads of {}", quote(source.name),
                      t.shape[0], config.head_dim);
    t = reorder_rotary(t, config.head_dim, RotaryOrder::interleave);
  }
  return t;
}

bool can_be_recomputed(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name.ends_with(".attention.masked_bias") ||
         name.ends_with(".attention.bias") || name.ends_with(".attn.bias") ||
         name.ends_with(".attn.masked_bias");
}

/// Layers after the last, which predict further tokens (DeepSeek-V3, section 2.2).
bool is_of_further_layer(std::string_view name, int64_t layers, int64_t further) {
  for (int64_t i = 0; i < further; ++i)
    if (name.starts_with(fmt::format("model.layers.{}.", layers + i))) return true;
  return false;
}

/// "135M", "7.2B": as the gguf package rounds.
std::string size_label(uint64_t parameters) {
  const auto n = static_cast<double>(parameters);
  const auto [scale, unit] = n > 1e12  ? std::pair(1e-12, 'T')
                             : n > 1e9 ? std::pair(1e-9, 'B')
                             : n > 1e6 ? std::pair(1e-6, 'M')
                                       : std::pair(1e-3, 'K');
  const double scaled = n * scale;
  const int digits = scaled < 0.5 ? 2 : std::round(scaled) < 10.0 ? 1 : 0;
  return fmt::format("{:.{}f}{}", scaled, digits, unit);
}

/// `license:` of a model card's front matter, or nothing.
std::string card_license(std::string_view card) {
  if (!card.starts_with("---")) return "";
  card.remove_prefix(3);
  card = card.substr(0, card.find("\n---"));
  const size_t at = card.find("\nlicense:");
  if (at == std::string_view::npos) return "";
  std::string_view line = card.substr(at + 9);
  line = line.substr(0, line.find('\n'));
  const size_t first = line.find_first_not_of(" \t\"'\r"), last = line.find_last_not_of(" \t\"'\r");
  if (first == std::string_view::npos || last - first > 100) return "";
  return std::string(line.substr(first, last - first + 1));
}

std::string model_name(const std::string& directory, const json::object& config) {
  std::error_code ec;
  const fs::path full = fs::canonical(directory, ec);
  std::string name = ec ? "" : full.filename().string();
  // The hub's cache keeps models under the digest of their commit.
  const bool digest = name.size() == 40 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
  const json::string* said = json_string(config.if_contains("_name_or_path"));
  if ((name.empty() || digest) && said && !said->empty())
    name = fs::path(std::string(*said)).filename().string();
  return name;
}

/// The type most matrix weights have, as general.file_type numbers it.
uint32_t file_type(const std::vector<Tensor>& tensors) {
  // MXFP4's number says that experts have it.
  const std::pair<const Encoding*, uint32_t> types[] = {{&encoding_f32(), 0},
                                                        {&encoding_f16(), 1},
                                                        {&encoding_bf16(), 32},
                                                        {&encoding_of<MXFP4>(), 38},
                                                        {&encoding_of<NVFP4>(), 39}};
  uint64_t best = 0;
  uint32_t found = 0;
  for (const auto& [encoding, number] : types) {
    uint64_t sum = 0;
    for (const Tensor& t : tensors)
      if (t.encoding == encoding && t.shape.size() > 1) sum += static_cast<uint64_t>(t.elements());
    if (sum > best) {
      best = sum;
      found = number;
    }
  }
  return found;
}

const std::string* find_file(const std::vector<std::pair<std::string, std::string>>& files,
                             std::string_view name) {
  for (const auto& [file, text] : files)
    if (file == name) return &text;
  return nullptr;
}

Status fill_metadata(const HfConfig& config, const Metadata& of_weights,
                     const std::vector<std::string>& left_out, Checkpoint& out) {
  Metadata& m = out.metadata;
  const std::string architecture(config.family->architecture);
  m.set("general.architecture", Value::string(architecture));
  m.set("general.type", Value::string("model"));
  if (std::string name = model_name(out.source, config.object); !name.empty())
    m.set("general.name", Value::string(std::move(name)));
  uint64_t parameters = 0;
  for (const Tensor& t : out.tensors) parameters += static_cast<uint64_t>(t.elements());
  m.set("general.size_label", Value::string(size_label(parameters)));
  if (const std::string* card = find_file(out.sidecars, "README.md"))
    if (std::string license = card_license(*card); !license.empty())
      m.set("general.license", Value::string(std::move(license)));
  const auto carry = [&](bool general) {
    for (const auto& [key, value] : config.carried.entries())
      if (key.starts_with("general.") == general && key != "general.architecture") m.set(key, value);
  };
  carry(true);
  for (const auto& [key, value] : config.metadata.entries()) m.set(key, value);
  m.set("general.file_type", Value::u32(file_type(out.tensors)));
  const Tensor* embedding = out.find("token_embd.weight");
  const uint64_t vocabulary = embedding ? static_cast<uint64_t>(embedding->shape[0]) : 0;
  if (config.family->writes_vocabulary_and_rotary) {
    m.set(architecture + ".vocab_size", Value::u32(static_cast<uint32_t>(vocabulary)));
    m.set(architecture + ".rope.dimension_count", Value::u32(static_cast<uint32_t>(config.head_dim)));
  }
  CARAT_DO(import_tokenizer(out.sidecars, vocabulary, m));
  carry(false);
  // "format" only says that PyTorch wrote the file; anything else in a safetensors header is someone's note.
  for (const auto& [key, value] : of_weights.entries())
    if (key != "format") m.set("safetensors." + key, value);
  if (!left_out.empty()) m.set("carat.import.left_out", Value::strings(left_out));
  m.set("general.quantization_version", Value::u32(2));
  return {};
}

}  // namespace

Status import_tokenizer(const std::vector<std::pair<std::string, std::string>>& files, uint64_t vocabulary,
                        Metadata& out) {
  const auto text = [&](std::string_view name) -> std::optional<std::string> {
    const std::string* found = find_file(files, name);
    return found ? std::optional<std::string>(*found) : std::nullopt;
  };
  HfTokenizerFiles t;
  t.tokenizer_json = text("tokenizer.json");
  t.tokenizer_config_json = text("tokenizer_config.json");
  t.special_tokens_map_json = text("special_tokens_map.json");
  t.generation_config_json = text("generation_config.json");
  t.tokenizer_model = text("tokenizer.model");
  t.chat_template_jinja = text("chat_template.jinja");
  t.config_json = text("config.json").value_or("{}");
  if (!t.tokenizer_json && !t.tokenizer_model)
    return bad_data("there is neither tokenizer.json nor tokenizer.model; copy them from the original model");
  return add_tokenizer_metadata(t, vocabulary, out);
}

Status map_tensors(const HfConfig& config, const Checkpoint& source, std::vector<Tensor>& out,
                   std::vector<std::string>& left_out) {
  const Family& family = *config.family;
  CARAT_TRY(const uint64_t layers,
            config.metadata.unsigned_at(std::string(family.architecture) + ".block_count"));
  if (layers > source.tensors.size())
    return bad_data("config.json says {} layers, but there are only {} tensors", layers,
                    source.tensors.size());
  CARAT_TRY(const int64_t first_mixture,
            first_mixture_layer(config.metadata, family, static_cast<int64_t>(layers)));
  CARAT_TRY(const bool tied, is_tied(config, source, left_out));
  LatentConfig latent{.absorbed = true};  // the layout that llama.cpp's converter writes
  CARAT_TRY(const uint64_t query_rank,
            config.metadata.unsigned_or(std::string(family.architecture) + ".attention.q_lora_rank", 0));
  latent.query_rank = static_cast<int64_t>(query_rank);
  std::unordered_set<std::string_view> used;
  const auto take = [&](const TensorRule& rule, int64_t layer) -> Status {
    if (rule.role == Role::rope_divisors && !config.divisors.empty()) {
      const auto n = static_cast<int64_t>(config.divisors.size());
      out.push_back({rule.gguf_name(0), {n}, &encoding_f32(), float_data(config.divisors, n)});
    }
    for (const auto& [role, values] : {std::pair(Role::rope_divisors_long, &config.divisors_long),
                                       std::pair(Role::rope_divisors_short, &config.divisors_short)})
      if (rule.role == role && !values->empty()) {
        const auto n = static_cast<int64_t>(values->size());
        out.push_back({rule.gguf_name(0), {n}, &encoding_f32(), float_data(*values, n)});
      }
    if (rule.hf.empty() || !rule.in_layer(layer >= first_mixture)) return {};
    const bool by_config = rule.presence == Presence::by_config;
    if (by_config && !asked_for(rule.role, latent)) return {};
    std::optional<HfWeights> found;
    if (rule.per_expert()) {
      CARAT_TRY(found, stack_experts(source, rule, layer, used));
    } else {
      const Tensor* one = find_in_hf(source, rule, layer);
      CARAT_TRY(found, find_weights(source, one ? one->name : rule.hf_name(layer), used));
    }
    if (!found && (by_config || rule.presence == Presence::required))
      return bad_data("tensor {} is missing", rule.hf_name(layer));
    if (!found) return {};
    if (rule.role == Role::output && tied) return {};
    CARAT_TRY(Tensor t, present(config, rule, layer, found->tensor));
    const std::string of_weights = t.name;
    out.push_back(std::move(t));
    if (!found->scale.empty() && !may_have_scale(rule))
      return bad_data("tensor {} is NVFP4 under a scale of its own, which carat does not read there",
                      quote(found->tensor.name));
    for (const auto& [values, name] : {std::pair(&found->scale, scale_name(of_weights)),
                                       std::pair(&found->input_scale, input_scale_name(of_weights))}) {
      const auto n = static_cast<int64_t>(values->size());
      if (n > 0) out.push_back({name, {n}, &encoding_f32(), float_data(*values, n)});
    }
    return {};
  };
  // Rules stand in file order: those before the layers, those of a layer, those after.
  const auto first =
      std::find_if(family.tensors.begin(), family.tensors.end(), [](const auto& r) { return r.per_layer(); });
  const auto last = std::find_if(first, family.tensors.end(), [](const auto& r) { return !r.per_layer(); });
  for (auto rule = family.tensors.begin(); rule != first; ++rule) CARAT_DO(take(*rule, 0));
  for (int64_t layer = 0; layer < static_cast<int64_t>(layers); ++layer)
    for (auto rule = first; rule != last; ++rule) CARAT_DO(take(*rule, layer));
  for (auto rule = last; rule != family.tensors.end(); ++rule) CARAT_DO(take(*rule, 0));

  uint64_t further = 0;
  for (const Tensor& t : source.tensors) {
    if (used.contains(t.name)) continue;
    if (is_of_further_layer(t.name, static_cast<int64_t>(layers), config.further_layers)) {
      ++further;
      continue;
    }
    // Of keys and values that a cache holds in eight bits, which carat's does in its own way.
    const bool of_cache = t.name.ends_with(".k_scale") || t.name.ends_with(".v_scale");
    if (can_be_recomputed(t.name) || of_cache) {
      left_out.push_back(t.name);
      continue;
    }
    const bool vector = t.shape.size() <= 1 && t.encoding->can_decode();
    out.push_back(vector ? as_f32(t) : t);
    if (out.back().shape.empty()) out.back().shape = {1};
  }
  if (further > 0)
    left_out.push_back(
        fmt::format("model.layers.{}.* ({} tensors that predict further tokens)", layers, further));
  const Tensor* embedding = find_in_hf(source, *family.rule(Role::token_embedding), 0);
  if (embedding && config.vocabulary > 0 && embedding->shape[0] != config.vocabulary)
    return bad_data("config.json says vocab_size {}, but {} has {} rows", config.vocabulary, embedding->name,
                    embedding->shape[0]);
  return {};
}

Result<Checkpoint> import_hf_directory(const std::string& directory) {
  CARAT_TRY(const std::vector<std::string> files, list_files(directory));
  const bool has_config = std::binary_search(files.begin(), files.end(), "config.json");
  const bool has_weights = std::any_of(files.begin(), files.end(),
                                       [](const std::string& f) { return f.ends_with(".safetensors"); });
  if (!has_config || !has_weights) return explain(directory, files, has_config);

  const std::string config_path = directory + "/config.json";
  CARAT_TRY(const std::string text, read_small_file(config_path, kConfigLimit));
  auto config = read_hf_config(text);
  if (!config) return std::move(config).error().within(config_path);

  CARAT_TRY(const Checkpoint source, read_safetensors_directory(directory));
  Checkpoint out;
  out.source = directory;
  out.container = "huggingface";
  out.file_bytes = source.file_bytes;
  out.files = source.files;
  std::vector<std::string> left_out;
  if (auto mapped = map_tensors(*config, source, out.tensors, left_out); !mapped)
    return std::move(mapped).error().within(directory);
  CARAT_DO(out.reindex());
  uint64_t others = 0;
  for (const std::string& name : files) {
    if (is_weights(name)) {
      const bool read = std::ranges::find(source.files, directory + "/" + name) != source.files.end();
      if (!read && !name.ends_with(".json"))
        left_out.push_back(name + " (weights that are not this model's)");
      continue;
    }
    std::error_code ec;
    const uint64_t size = fs::file_size(directory + "/" + name, ec);
    const uint64_t limit = is_needed(name) ? kSidecarLimit : kOtherFilesLimit - others;
    if (ec || size > limit) {
      left_out.push_back(name + " (a file too large to carry)");
      continue;
    }
    CARAT_TRY(std::string content, read_small_file(directory + "/" + name, kSidecarLimit));
    if (!is_needed(name)) others += std::min<uint64_t>(content.size(), limit);
    out.file_bytes += content.size();
    out.files.push_back(directory + "/" + name);
    out.sidecars.emplace_back(name, std::move(content));
  }
  if (auto filled = fill_metadata(*config, source.metadata, left_out, out); !filled)
    return std::move(filled).error().within(directory);
  return out;
}

}  // namespace carat
