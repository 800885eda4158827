#include "quantize/provenance.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <numeric>

#include "base/digest.h"
#include "base/file_name.h"
#include "containers/json.h"

namespace carat {
namespace {

constexpr size_t kSampleBytes = 4096;

/// Keys of the source that would be wrong in the output: they speak of its split, or of its own making.
bool is_dropped(std::string_view key) {
  if (key.starts_with("split.") || key.starts_with("quantize.imatrix.")) return true;
  const auto is_carried = [&](std::string_view prefix) { return key.starts_with(prefix); };
  return key.starts_with("carat.") && !is_carried("carat.transform.") && !is_carried("carat.import.") &&
         !is_carried(kSidecarPrefix);
}

// Files whose content the metadata say already, in GGUF's own terms.
constexpr std::string_view kMapped[] = {"config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "tokenizer.model",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "vocab.json",
                                        "merges.txt"};
constexpr size_t kMostSidecarBytes = 64 << 10;

bool is_mapped(std::string_view name) { return std::ranges::find(kMapped, name) != std::end(kMapped); }

/// Small JSON files, such as generation_config.json: readers of GGUF expect strings to be valid UTF-8.
bool is_carried_sidecar(std::string_view name, std::string_view text) {
  return !is_mapped(name) && is_sidecar_name(name) && text.size() <= kMostSidecarBytes &&
         parse_json(text).ok();
}

template <class T>
bool parse_number(std::string_view text, T& out, int base) {
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return failure == std::errc{} && stop == text.data() + text.size();
}

/// Anything of a value that distinguishes it from another, as bytes.
void update(Sha256& hash, const Value& value) {
  const auto number = [&](const auto& n) {
    hash.update(Bytes(reinterpret_cast<const uint8_t*>(&n), sizeof n));
  };
  const auto text = [&](std::string_view s) {
    number(uint64_t{s.size()});
    hash.update(s);
  };
  number(static_cast<uint32_t>(value.type));
  if (const auto* s = std::get_if<std::string>(&value.data)) return text(*s);
  if (const auto* u = std::get_if<uint64_t>(&value.data)) return number(*u);
  if (const auto* i = std::get_if<int64_t>(&value.data)) return number(*i);
  if (const auto* d = std::get_if<double>(&value.data)) return number(*d);
  if (const auto* b = std::get_if<bool>(&value.data)) return number(uint64_t{*b});
  const Array& a = std::get<Array>(value.data);
  number(static_cast<uint32_t>(a.element));
  number(uint64_t{a.size()});
  for (const auto& s : a.strings) text(s);
  for (const auto n : a.unsigneds) number(n);
  for (const auto n : a.signeds) number(n);
  for (const auto n : a.floats) number(n);
}

/// The first and last 4 KB of a tensor (of its first and last row).
Status update_samples(Sha256& hash, const Tensor& t, std::vector<uint8_t>& row) {
  if (t.rows() == 0) return {};
  const size_t take = std::min<size_t>(kSampleBytes, t.row_bytes());
  const Bytes mapped = t.data->mapped();
  if (!mapped.empty()) {
    hash.update(mapped.first(take));
    hash.update(mapped.last(take));
    t.data->release(0, t.rows());  // the system maps many pages around one that is touched
    return {};
  }
  row.resize(t.row_bytes());
  CARAT_DO(t.data->read_bytes(0, 1, row.data()));
  hash.update(Bytes(row).first(take));
  CARAT_DO(t.data->read_bytes(t.rows() - 1, 1, row.data()));
  hash.update(Bytes(row).last(take));
  t.data->release(0, t.rows());
  return {};
}

}  // namespace

bool is_sidecar_name(std::string_view name) {
  return name.ends_with(".json") && !name.starts_with('.') &&
         name.find_first_of("/\\") == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

std::vector<std::string> sidecars_left_out(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const auto& [name, text] : checkpoint.sidecars)
    if (!is_mapped(name) && !is_carried_sidecar(name, text)) names.push_back(name);
  return names;
}

std::string format_record(const TensorRecord& r) {
  return fmt::format("{} {:016x} {:016x} {} {} {} {} {:016x} {:016x} {:016x} {:016x}", r.source_sha256,
                     r.xxh3, std::bit_cast<uint64_t>(r.relative_error), r.underflows, r.guide.tokens,
                     r.guide.least_tokens, r.guide.unseen, std::bit_cast<uint64_t>(r.guide.shrink),
                     std::bit_cast<uint64_t>(r.guide.damping), std::bit_cast<uint64_t>(r.guide.relative_loss),
                     std::bit_cast<uint64_t>(r.guide.searched_loss));
}

Result<TensorRecord> parse_record(std::string_view text) {
  const Error bad = bad_data("the journal holds '{}', which is no tensor's record", text);
  std::vector<std::string_view> words;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t space = std::min(rest.find(' '), rest.size());
    words.push_back(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  if (words.size() != 11 || words[0].size() != 64) return bad;
  TensorRecord r;
  r.source_sha256 = words[0];
  uint64_t error = 0, shrink = 0, damping = 0, loss = 0, searched = 0;
  if (!parse_number(words[1], r.xxh3, 16) || !parse_number(words[2], error, 16) ||
      !parse_number(words[3], r.underflows, 10) || !parse_number(words[4], r.guide.tokens, 10) ||
      !parse_number(words[5], r.guide.least_tokens, 10) || !parse_number(words[6], r.guide.unseen, 10) ||
      !parse_number(words[7], shrink, 16) || !parse_number(words[8], damping, 16) ||
      !parse_number(words[9], loss, 16) || !parse_number(words[10], searched, 16))
    return bad;
  r.relative_error = std::bit_cast<double>(error);
  r.guide.shrink = std::bit_cast<double>(shrink);
  r.guide.damping = std::bit_cast<double>(damping);
  r.guide.relative_loss = std::bit_cast<double>(loss);
  r.guide.searched_loss = std::bit_cast<double>(searched);
  return r;
}

std::string source_digest(const Checkpoint& checkpoint, const std::vector<TensorRecord>& records) {
  std::vector<size_t> order(checkpoint.tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return checkpoint.tensors[a].name < checkpoint.tensors[b].name; });
  Sha256 tree;
  for (const size_t i : order) {
    const Tensor& t = checkpoint.tensors[i];
    tree.update(t.name);
    tree.update(std::string_view("\0", 1));
    tree.update(fmt::format("{}", fmt::join(t.shape, "x")));
    tree.update(std::string_view("\0", 1));
    tree.update(t.encoding->name);
    tree.update(std::string_view("\0", 1));
    tree.update(records[i].source_sha256);
    tree.update("\n");
  }
  return tree.hex();
}

namespace {

void set_data(Metadata& m, const std::vector<std::string>& texts, const std::string& digest, int64_t tokens,
              const std::string& activations) {
  std::vector<std::string> names;
  for (const std::string& name : texts) names.push_back(file_name(name));
  m.set("carat.calibration.texts", Value::strings(std::move(names)));
  m.set("carat.calibration.digest", Value::string(digest));
  m.set("carat.calibration.tokens", Value::u64(static_cast<uint64_t>(tokens)));
  m.set("carat.calibration.activations", Value::string(activations));
}

}  // namespace

Metadata carried_metadata(const Checkpoint& checkpoint, const Work& work) {
  Metadata m;
  for (const auto& [key, value] : checkpoint.metadata.entries())
    if (!is_dropped(key)) m.set(key, value);
  m.set("carat.version", Value::string(CARAT_VERSION));
  m.set("carat.rounder_revision", Value::u32(kRounderRevision));
  m.set("carat.recipe", Value::string(work.recipe));
  if (!work.rules.empty()) m.set("carat.recipe.rules", Value::strings(work.rules));
  m.set("carat.method", Value::string(work.method));
  if (const CalibrationText* text = work.text)
    set_data(m, text->names, text->digest, text->tokens(),
             std::string(activation_scheme_name(work.activations)));
  if (work.hessians) {
    const CalibrationOrigin& origin = work.hessians->origin();
    set_data(m, origin.datasets, fmt::format("{}", fmt::join(origin.text_digests, " ")),
             static_cast<int64_t>(origin.tokens()), origin.arithmetic);
    m.set("carat.calibration.hessians", Value::string(file_name(work.hessians->path())));
  }
  if (work.guided) {
    m.set("carat.calibration.order", Value::string(std::string(column_order_name(work.feedback.order))));
    m.set("carat.calibration.shrink", Value::f32(static_cast<float>(work.feedback.shrink)));
    if (!work.feedback.shrink_of.empty())
      m.set("carat.calibration.shrink_of", Value::string(work.feedback.shrink_words()));
    m.set("carat.calibration.damp", Value::f32(static_cast<float>(work.feedback.damp)));
    m.set("carat.calibration.propagate", Value::f32(static_cast<float>(work.feedback.propagate)));
  }
  if (work.calibration) set_calibration(m, *work.calibration);
  TextSketch sketch;
  if (work.text) merge_sketch(work.text->sketch, sketch);
  if (work.hessians) merge_sketch(work.hessians->origin().sketch, sketch);
  if (work.calibration) merge_sketch(work.calibration->sketch, sketch);
  write_sketch(sketch, m);
  m.set("carat.source.container", Value::string(checkpoint.container));
  std::vector<std::string> files;
  for (const std::string& f : checkpoint.files) files.push_back(file_name(f));
  if (!files.empty()) m.set("carat.source.files", Value::strings(std::move(files)));
  if (!work.plan.fallbacks.empty()) m.set("carat.fallbacks", Value::strings(work.plan.fallbacks));
  return m;
}

Metadata output_metadata(const Checkpoint& checkpoint, const Work& work) {
  Metadata m = carried_metadata(checkpoint, work);
  for (const auto& [name, text] : checkpoint.sidecars)
    if (is_carried_sidecar(name, text)) m.set(std::string(kSidecarPrefix) + name, Value::string(text));
  if (work.file_type) m.set("general.file_type", Value::u32(*work.file_type));
  m.set("general.quantization_version", Value::u32(2));
  set_evidence(m, std::string(64, '0'), std::vector<TensorRecord>(checkpoint.tensors.size()));
  return m;
}

void set_evidence(Metadata& metadata, const std::string& digest, const std::vector<TensorRecord>& records) {
  std::vector<float> errors;
  std::vector<uint64_t> digests;
  for (const TensorRecord& r : records) {
    errors.push_back(static_cast<float>(r.relative_error));
    digests.push_back(r.xxh3);
  }
  metadata.set(kDigestKey, Value::string(digest));
  metadata.set(kRelativeErrorKey, Value::f32s(std::move(errors)));
  metadata.set(kTensorDigestKey, Value::u64s(std::move(digests)));
}

Result<std::string> source_fingerprint(const Checkpoint& checkpoint) {
  Sha256 hash;
  hash.update(fmt::format("{} bytes\n", checkpoint.file_bytes));
  for (const auto& [key, value] : checkpoint.metadata.entries()) {
    update(hash, Value::string(key));
    update(hash, value);
  }
  std::vector<uint8_t> row;
  for (const Tensor& t : checkpoint.tensors) {
    hash.update(fmt::format("{} {} {}\n", t.name, fmt::join(t.shape, "x"), t.encoding->name));
    CARAT_DO(update_samples(hash, t, row));
  }
  return hash.hex();
}

Result<std::string> fingerprint(const Checkpoint& checkpoint, const Work& work) {
  Sha256 hash;
  hash.update(fmt::format("carat {} rounders {}\n", CARAT_VERSION, kRounderRevision));
  for (const TensorPlan& t : work.plan.tensors)
    hash.update(fmt::format("{} {} {}\n", t.name, t.to->name, t.method));
  if (work.text)
    hash.update(fmt::format("text {} in {} through {} {}\n", work.text->digest, work.text->context,
                            activation_scheme_name(work.activations), work.feedback.words()));
  if (work.hessians) {
    const CalibrationOrigin& origin = work.hessians->origin();
    hash.update(work.hessians->digest());
    hash.update(fmt::format("hessians {} through {} {}\n", fmt::join(origin.text_digests, " "),
                            origin.arithmetic, work.feedback.words()));
  }
  if (work.calibration) hash.update(fmt::format("calibration {}\n", work.calibration->digest));
  CARAT_TRY(const std::string source, source_fingerprint(checkpoint));
  hash.update(source);
  return hash.hex();
}

}  // namespace carat
