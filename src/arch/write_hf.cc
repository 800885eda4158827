// A checkpoint in GGUF's vocabulary as a Hugging Face directory: the inverse of hf_import.cc. Weights stream
// in slabs of rows, so memory does not grow with the model. Everything is written into DIRECTORY.partial,
// synced, and renamed once: whoever sees DIRECTORY sees all of it. There is no resume: an error removes the
// partial directory, and what a killed run left is thrown away only with the caller's leave.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <unordered_map>

#include "arch/hf_config.h"
#include "arch/hf_experts.h"
#include "arch/hf_import.h"
#include "arch/hf_merge.h"
#include "arch/metadata_json.h"
#include "arch/open_model.h"
#include "arch/tensor_views.h"
#include "base/half.h"
#include "containers/durable.h"
#include "containers/mapped_file.h"
#include "containers/quote.h"
#include "containers/safetensors.h"
#include "text/hf_tokenizer.h"

namespace carat {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<std::pair<std::string, std::string>>;

/// Floats in flight at once: 8 MB of them.
constexpr int64_t kSlab = int64_t{1} << 21;

/// What is wrong with one value on its way into a narrower type, or nothing.
struct Narrowing {
  uint64_t underflows = 0;
  int64_t overflow_at = -1;  ///< index of the first finite value that became infinite
};

template <uint16_t (*convert)(float), uint16_t infinity>
void narrow(const float* in, int64_t n, uint8_t* out, Narrowing& seen) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t h = convert(in[i]);
    std::memcpy(out + 2 * i, &h, 2);
    const uint16_t magnitude = h & 0x7fffu;
    if (magnitude == 0 && in[i] != 0.0f) ++seen.underflows;
    if (magnitude == infinity && std::isfinite(in[i]) && seen.overflow_at < 0) seen.overflow_at = i;
  }
}

void store(const Encoding* encoding, const float* in, int64_t n, uint8_t* out, Narrowing& seen) {
  if (encoding == &encoding_f16())
    narrow<float_to_f16, 0x7c00>(in, n, out, seen);
  else if (encoding == &encoding_bf16())
    narrow<float_to_bf16, 0x7f80>(in, n, out, seen);
  else
    std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
}

/// Streams one tensor into the writer in its planned encoding.
class Streamer {
 public:
  Streamer(const Context& context, SafetensorsWriter& writer) : context_(context), writer_(writer) {}

  Status write(const Tensor& t, const Encoding* to) {
    const int64_t slab = std::max<int64_t>(kSlab / std::max<int64_t>(t.columns(), 1), 1);
    for (int64_t first = 0; first < t.rows(); first += slab) {
      CARAT_DO(context_.check());
      const int64_t count = std::min(slab, t.rows() - first);
      bytes_.resize(static_cast<uint64_t>(count) * to->row_bytes(t.columns()));
      if (t.encoding == to)
        CARAT_DO(t.data->read_bytes(first, count, bytes_.data()));
      else
        CARAT_DO(convert(t, to, first, count));
      CARAT_DO(writer_.write(bytes_));
      t.data->release(first, count);
      done_ += static_cast<uint64_t>(count * t.columns());
      context_.progress.update(done_, t.name);
    }
    return {};
  }
  uint64_t underflows() const { return underflows_; }

 private:
  Status convert(const Tensor& t, const Encoding* to, int64_t first, int64_t count) {
    const int64_t columns = t.columns();
    floats_.resize(static_cast<size_t>(count * columns));
    // Rows are decoded and narrowed by whoever takes them; errors are reported in row order.
    std::vector<Narrowing> seen(static_cast<size_t>(count));
    std::vector<std::optional<Error>> failed(static_cast<size_t>(count));
    context_.pool.parallel_for(count, std::max<int64_t>(32768 / std::max<int64_t>(columns, 1), 1),
                               [&](int64_t begin, int64_t end, int) {
                                 for (int64_t i = begin; i < end; ++i) {
                                   float* row = floats_.data() + i * columns;
                                   if (auto read = t.read_rows(first + i, 1, row); !read) {
                                     failed[i] = std::move(read).error();
                                     continue;
                                   }
                                   store(to, row, columns, bytes_.data() + i * to->row_bytes(columns),
                                         seen[i]);
                                 }
                               });
    for (int64_t i = 0; i < count; ++i) {
      if (failed[i]) return *std::move(failed[i]);
      underflows_ += seen[i].underflows;
      if (seen[i].overflow_at >= 0)
        return bad_data("tensor {}: {} in row {}, column {} is too large for {}; write BF16 or F32 instead",
                        quote(t.name), floats_[i * columns + seen[i].overflow_at], first + i,
                        seen[i].overflow_at, to->name);
    }
    return {};
  }

  const Context& context_;
  SafetensorsWriter& writer_;
  std::vector<uint8_t> bytes_;
  std::vector<float> floats_;
  uint64_t done_ = 0, underflows_ = 0;
};

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

/// Refuses what is in the way. Otherwise the files in PARTIAL that are to go: they may be an interrupted
/// run's or anybody's, so it takes the caller's leave, and nothing gives leave to throw the source away.
Result<std::vector<fs::path>> what_must_go(const Checkpoint& source, const std::string& directory,
                                           const std::string& partial, bool discard) {
  std::error_code ec;
  if (fs::exists(directory, ec) && !(fs::is_directory(directory, ec) && fs::is_empty(directory, ec)))
    return usage_error("{}: exists already; remove it or choose another name", directory);
  std::vector<fs::path> left;
  const auto found = fs::symlink_status(partial, ec);
  if (!fs::exists(found)) return left;
  if (!fs::is_directory(found))
    return usage_error("{}: is in the way and no directory; remove it or choose another name", partial);
  for (const auto& entry : fs::directory_iterator(partial, ec)) {
    if (is_one_of(entry.path(), source.files))
      return usage_error(
          "{}: holds files of the source; choose another output, which never replaces its input", partial);
    if (!discard)
      return usage_error(
          "{}: holds files, perhaps of an unfinished run: throw them away (--force), or remove the directory",
          partial);
    if (!entry.is_regular_file(ec))
      return usage_error("{}: holds something that is not from an interrupted run; remove it", partial);
    left.push_back(entry.path());
  }
  if (ec) return error(Code::io, "{}: cannot read the directory: {}", partial, ec.message());
  return left;
}

/// An empty directory of our own to write into.
Status make_partial(const std::string& partial, const std::vector<fs::path>& must_go) {
  std::error_code ec;
  fs::create_directory(partial, ec);
  if (ec) return error(Code::io, "{}: cannot create the directory: {}", partial, ec.message());
  for (const fs::path& path : must_go)
    if (!fs::remove(path, ec)) return error(Code::io, "{}: cannot remove: {}", path.string(), ec.message());
  return {};
}

bool has_tokenizer(const Files& files) {
  return std::any_of(files.begin(), files.end(), [](const auto& f) {
    return f.first == "tokenizer.json" || f.first == "tokenizer.model";
  });
}

/// All small files but config.json: the source's own where it had them, made from the metadata otherwise.
Result<Files> small_files(const Checkpoint& c) {
  Files files;
  for (const auto& file : c.sidecars)
    if (file.first != "config.json") files.push_back(file);
  if (has_tokenizer(files) || !c.metadata.has("tokenizer.ggml.model")) return files;
  CARAT_TRY(Files made, make_hf_tokenizer_files(c.metadata));
  for (auto& file : made) {
    std::erase_if(files, [&](const auto& f) { return f.first == file.first; });
    files.push_back(std::move(file));
  }
  return files;
}

/// Entries that reading the directory back would not give: they go into config.json as they are.
std::vector<std::pair<std::string, Value>> left_to_carry(const Metadata& wanted, const Metadata& derived) {
  // These follow from the weights that are written, or from the container.
  static constexpr std::string_view dropped[] = {"general.architecture", "general.file_type",
                                                 "general.alignment", "general.quantization_version",
                                                 "carat.import.left_out"};
  // The vocabulary itself is the tokenizer's business and far too large for config.json.
  static constexpr std::string_view vocabulary[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges",
                                                    "tokenizer.ggml.scores", "tokenizer.ggml.token_type"};
  std::vector<std::pair<std::string, Value>> out;
  for (const auto& [key, value] : wanted.entries()) {
    if (std::ranges::find(dropped, key) != std::end(dropped)) continue;
    if (std::ranges::find(vocabulary, key) != std::end(vocabulary)) continue;
    const Value* found = derived.find(key);
    if (!found || !(*found == value)) out.emplace_back(key, value);
  }
  return out;
}

std::string_view torch_dtype(const Encoding* encoding) {
  if (encoding == &encoding_f16()) return "float16";
  return encoding == &encoding_bf16() ? "bfloat16" : "float32";
}

struct Plan {
  std::vector<PlannedTensor> tensors;
  std::vector<Tensor> sources;  ///< in Hugging Face's row order
  std::vector<std::pair<std::string, std::string>> files;
  uint64_t weights = 0;
};

/// config.json as text, and the head's size for the row order.
Status plan_config(const Checkpoint& c, const Family& family, const HfWriteOptions& options, Plan& plan,
                   int64_t& head_dim) {
  HfExport facts;
  facts.family = &family;
  facts.torch_dtype = torch_dtype(options.encoding);
  CARAT_TRY(const Tensor* embedding, c.at("token_embd.weight"));
  facts.vocabulary = embedding->shape.empty() ? 0 : embedding->shape[0];
  facts.tied = !c.find("output.weight");
  facts.qkv_bias = c.find("blk.0.attn_q.bias") != nullptr;
  if (const Tensor* divisors = c.find("rope_freqs.weight")) {
    CARAT_TRY(facts.divisors, divisors->read_all());
  }
  json::object original;
  for (const auto& [name, text] : c.sidecars)
    if (name == "config.json") {
      CARAT_TRY(const json::value v, parse_json(text));
      if (v.is_object()) original = v.get_object();
    }
  original.erase("gguf_metadata");
  CARAT_TRY(json::object config, make_hf_config(c.metadata, facts, std::move(original)));
  CARAT_TRY(const HfConfig back, read_hf_config(json::serialize(config)));
  head_dim = back.head_dim;

  Metadata derived = back.metadata;
  const std::string prefix = std::string(family.architecture) + ".";
  if (family.writes_vocabulary_and_rotary) {
    derived.set(prefix + "vocab_size", Value::u32(static_cast<uint32_t>(facts.vocabulary)));
    derived.set(prefix + "rope.dimension_count", Value::u32(static_cast<uint32_t>(head_dim)));
  }
  derived.set("general.type", Value::string("model"));
  if (has_tokenizer(plan.files)) {
    Files with_config = plan.files;
    with_config.emplace_back("config.json", json::serialize(config));
    CARAT_DO(import_tokenizer(with_config, static_cast<uint64_t>(facts.vocabulary), derived));
  }
  Metadata wanted = c.metadata;
  // GGUF's older layout of latent attention is read back as the newer one, whose heads are others.
  if (c.find("blk.0.attn_kv_b.weight"))
    for (const std::string_view key : {"head_count_kv", "key_length", "value_length"})
      wanted.erase(fmt::format("{}attention.{}", prefix, key));
  const auto carried = left_to_carry(wanted, derived);
  if (!carried.empty()) config["gguf_metadata"] = metadata_to_json(carried);
  plan.files.emplace_back("config.json", pretty_json(config));
  return {};
}

Status plan_tensors(const Checkpoint& c, const Family& family, const HfWriteOptions& options,
                    int64_t head_dim, Plan& plan) {
  CARAT_TRY(const uint64_t layers, c.metadata.unsigned_at(std::string(family.architecture) + ".block_count"));
  if (layers > c.tensors.size()) return bad_data("{} layers, but only {} tensors", layers, c.tensors.size());
  CARAT_TRY(const int64_t first_mixture,
            first_mixture_layer(c.metadata, family, static_cast<int64_t>(layers)));
  std::unordered_map<std::string, std::pair<const TensorRule*, int64_t>> rules;
  for (const TensorRule& rule : family.tensors)
    for (int64_t layer = 0; layer < (rule.per_layer() ? static_cast<int64_t>(layers) : 1); ++layer)
      if (rule.in_layer(layer >= first_mixture))
        rules.emplace(rule.gguf_name(layer), std::pair(&rule, layer));
  const auto add = [&](std::string name, Tensor source) -> Status {
    // What cannot be decoded has no floats to write; safetensors has dtypes for plain integers only.
    const Encoding* to = options.encoding;
    if (!source.encoding->can_decode()) {
      if (source.encoding->block != 1)
        return bad_data("tensor {} is stored as {}, which carat cannot decode", quote(source.name),
                        source.encoding->name);
      to = source.encoding;
    }
    plan.weights += static_cast<uint64_t>(source.elements());
    plan.tensors.push_back({std::move(name), source.shape, to});
    plan.sources.push_back(std::move(source));
    return {};
  };
  for (const Tensor& t : c.tensors) {
    const auto it = rules.find(t.name);
    if (it == rules.end()) {
      CARAT_DO(add(t.name, t));
      continue;
    }
    const auto& [rule, layer] = it->second;
    if (rule->hf.empty()) continue;  // config.json says it
    if (rule->per_expert() && t.shape.size() == rule->shape.size()) {
      for (int64_t expert = 0; expert < t.shape.front(); ++expert)
        CARAT_DO(add(rule->hf_name(layer, expert), one_expert(t, expert)));
      continue;
    }
    if (rule->form != HfForm::same) {
      CARAT_TRY(std::optional<Tensor> form, to_hf_form(c, family, *rule, layer, t));
      if (form) CARAT_DO(add(rule->hf_name(layer), *std::move(form)));
      continue;
    }
    Tensor source = t;
    if (rule->role == Role::shared_router) source.shape.insert(source.shape.begin(), 1);
    const bool rotated = rule->role == Role::query || rule->role == Role::key ||
                         rule->role == Role::query_bias || rule->role == Role::key_bias;
    if (rotated && family.reorders_rotary()) {
      if (t.shape.empty() || t.shape[0] % head_dim != 0)
        return bad_data("tensor {} has rows that are not whole heads of {}", quote(t.name), head_dim);
      source = reorder_rotary(t.shape.size() == 1 ? as_f32(t) : t, head_dim, RotaryOrder::halve);
    }
    CARAT_DO(add(rule->hf_name(layer), std::move(source)));
  }
  return {};
}

/// All that will be written; what cannot be is an error before anything is.
Status make_plan(const Checkpoint& c, const HfWriteOptions& options, Plan& plan) {
  CARAT_TRY(const std::string* architecture, c.metadata.string_at("general.architecture"));
  const Family* family = find_family(*architecture);
  if (!family || family->classes.empty())
    return bad_data("architecture {} has no Hugging Face form that carat knows; it knows {}",
                    quote(*architecture), hf_class_names());
  if (!family->hf.written)
    return bad_data("carat reads Hugging Face directories of {}, but does not write them; GGUF it writes",
                    quote(*architecture));
  CARAT_TRY(plan.files, small_files(c));
  if (!has_tokenizer(plan.files))
    return bad_data("there is no tokenizer, without which a Hugging Face directory could not be read back");
  int64_t head_dim = 0;
  CARAT_DO(plan_config(c, *family, options, plan, head_dim));
  return plan_tensors(c, *family, options, head_dim, plan);
}

Status write_partial(const Context& context, const Plan& plan, const std::string& source,
                     const std::string& partial, uint64_t shard_bytes, uint64_t& underflows) {
  CARAT_TRY(auto writer, create_safetensors(partial, plan.tensors, shard_bytes));
  context.progress.begin("writing", "weights", plan.weights);
  Streamer streamer(context, *writer);
  for (size_t i = 0; i < plan.tensors.size(); ++i)
    if (auto s = streamer.write(plan.sources[i], plan.tensors[i].encoding); !s)
      return s.error().code == Code::bad_data ? Status(std::move(s).error().within(source)) : s;
  context.progress.end();
  CARAT_DO(writer->finish());
  for (const auto& [name, text] : plan.files) CARAT_DO(write_synced_file(partial + "/" + name, text));
  underflows = streamer.underflows();
  return sync_directory_of(partial + "/config.json");
}

}  // namespace

Status check_hf_directory(const Checkpoint& checkpoint, const std::string& directory,
                          const HfWriteOptions& options) {
  Plan plan;
  if (auto s = make_plan(checkpoint, options, plan); !s)
    return std::move(s).error().within(checkpoint.source);
  const std::string target = without_slash(directory);
  CARAT_DO(what_must_go(checkpoint, target, target + ".partial", options.discard_partial));
  return {};
}

Status write_hf_directory(const Context& context, const Checkpoint& checkpoint, const std::string& directory,
                          const HfWriteOptions& options, uint64_t* underflows) {
  const Encoding* e = options.encoding;
  if (e != &encoding_f32() && e != &encoding_f16() && e != &encoding_bf16())
    return usage_error("a Hugging Face directory holds F32, F16 or BF16 weights");
  const std::string target = without_slash(directory);
  const std::string partial = target + ".partial";

  Plan plan;
  if (auto s = make_plan(checkpoint, options, plan); !s)
    return std::move(s).error().within(checkpoint.source);

  CARAT_TRY(const std::vector<fs::path> must_go,
            what_must_go(checkpoint, target, partial, options.discard_partial));
  CARAT_DO(make_partial(partial, must_go));
  uint64_t seen = 0;
  Status written = write_partial(context, plan, checkpoint.source, partial, options.shard_bytes, seen);
  // An empty directory in the way is replaced; anything else was refused above, or appeared since and stays.
  if (written && std::rename(partial.c_str(), target.c_str()) != 0)
    written = error(Code::io, "{}: cannot rename to {}: {}", partial, target, std::strerror(errno));
  if (!written) {
    std::error_code ec;
    fs::remove_all(partial, ec);
    return written;
  }
  CARAT_DO(sync_directory_of(target));
  if (underflows) *underflows = seen;
  return {};
}

}  // namespace carat
