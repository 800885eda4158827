#include "stats/hessian_file.h"

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "containers/gguf.h"
#include "containers/quote.h"

namespace carat {
namespace {

constexpr std::string_view kType = "carat.hessians", kTokensKey = "carat.hessian.tokens";

constexpr int64_t kMostTokens = int64_t{1} << 50;  // many can be added up

std::string tensor_name(const HessianPlace& place) { return place.readers.front() + ".hessian"; }

/// One number for each matrix of each place, one after the other.
std::vector<uint64_t> flat(const std::vector<std::vector<uint64_t>>& tokens) {
  std::vector<uint64_t> out;
  for (const auto& place : tokens) out.insert(out.end(), place.begin(), place.end());
  return out;
}

Result<std::vector<std::vector<uint64_t>>> read_tokens(const Metadata& metadata,
                                                       const std::vector<HessianPlace>& places) {
  CARAT_TRY(const std::vector<int64_t> all, metadata.integers_at(kTokensKey));
  std::vector<std::vector<uint64_t>> out;
  size_t next = 0;
  for (const HessianPlace& place : places) {
    out.emplace_back();
    for (int64_t m = 0; m < place.matrices && next < all.size(); ++m) {
      const int64_t tokens = all[next++];
      if (tokens < 0 || tokens > kMostTokens)
        return bad_data("{} says {} tokens, which cannot be", kTokensKey, tokens);
      out.back().push_back(static_cast<uint64_t>(tokens));
    }
    if (static_cast<int64_t>(out.back().size()) != place.matrices)
      return bad_data("{} has {} numbers, fewer than the model has Hessians", kTokensKey, all.size());
  }
  return out;
}

std::string fingerprint(const CalibrationOrigin& origin, const HessianWriteOptions& options) {
  Sha256 hash;
  hash.update(fmt::format("hessians {} {} {} {} {}\n", CARAT_VERSION, origin.model, origin.arithmetic,
                          origin.chunk_tokens, options.source));
  for (const HessianFile& other : options.others) hash.update(other.digest() + "\n");
  for (const std::string& digest : origin.text_digests) hash.update(digest + "\n");
  return hash.hex();
}

}  // namespace

std::vector<HessianPlace> hessian_places(const ModelConfig& config) {
  std::vector<HessianPlace> out;
  const auto add = [&](int64_t layer, LinearInput input) {
    std::vector<std::string> readers = reader_names(config, input, layer);
    if (readers.empty()) return;
    out.push_back({layer, input, std::move(readers), input_columns(config, input, layer),
                   input_matrices(config, input)});
  };
  for (int64_t l = 0; l < config.layers; ++l)
    for (const LinearInput input : layer_inputs) add(l, input);
  add(0, LinearInput::output);
  return out;
}

Result<HessianFile> HessianFile::open(const std::string& path, const Checkpoint& checkpoint) {
  HessianFile out;
  CARAT_TRY(out.file_, read_gguf(path));
  const Metadata& metadata = out.file_.metadata;
  const auto type = metadata.string_or("general.type", "model");
  if (!type || *type != kType)
    return bad_data("{}: is a GGUF file of type {}, not of Hessians (from `carat calibrate --hessians`)",
                    path, quote(type ? *type : "unknown"));
  if (Status read = read_origin(metadata, out.origin_); !read) return std::move(read).error().within(path);
  CARAT_DO(check_origin(checkpoint, path, out.origin_));
  CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
  out.places_ = hessian_places(config);
  for (const HessianPlace& place : out.places_) {
    CARAT_TRY(const Tensor* tensor, out.file_.at(tensor_name(place)));
    if (tensor->rows() != place.matrices || tensor->columns() != place.triangle() ||
        tensor->encoding != &encoding_f32())
      return bad_data("{}: {} is {} x {} of {}, not {} triangles of {} columns: it is of another model", path,
                      tensor->name, tensor->rows(), tensor->columns(), tensor->encoding->name, place.matrices,
                      place.columns);
  }
  auto tokens = read_tokens(metadata, out.places_);
  if (!tokens) return std::move(tokens).error().within(path);
  out.tokens_ = std::move(*tokens);
  return out;
}

std::string HessianFile::digest() const {
  constexpr size_t kSample = 4096;
  Sha256 hash;
  for (const auto& place : tokens_)
    for (const uint64_t tokens : place) hash.update(fmt::format("{} ", tokens));
  for (const Tensor& t : file_.tensors) {
    const Bytes bytes = t.data->mapped();
    hash.update(bytes.first(std::min(bytes.size(), kSample)));
  }
  return hash.hex();
}

Status HessianFile::read(size_t place, int64_t matrix, float* out) const {
  CARAT_TRY(const Tensor* tensor, file_.at(tensor_name(places_[place])));
  CARAT_DO(tensor->read_rows(matrix, 1, out));
  tensor->data->release(matrix, 1);
  return {};
}

Result<std::unique_ptr<HessianWriter>> HessianWriter::create(const std::string& path,
                                                             const ModelConfig& config,
                                                             const CalibrationOrigin& origin,
                                                             HessianWriteOptions options) {
  auto out = std::make_unique<HessianWriter>();
  out->places_ = hessian_places(config);
  CalibrationOrigin all = origin;
  bool first = origin.text_digests.empty();
  for (const HessianFile& other : options.others) {
    CARAT_DO(check_merge(other.path(), other.origin(), all));
    if (first)
      all = other.origin();
    else
      merge_origin(other.origin(), all);
    first = false;
  }
  out->metadata_.set("general.type", Value::string(std::string(kType)));
  write_origin(all, out->metadata_);
  std::vector<std::vector<uint64_t>> none;
  std::vector<PlannedTensor> plan;
  for (const HessianPlace& place : out->places_) {
    plan.push_back({tensor_name(place), {place.matrices, place.triangle()}, &encoding_f32()});
    none.emplace_back(static_cast<size_t>(place.matrices));
  }
  out->metadata_.set(std::string(kTokensKey), Value::u64s(flat(none)));
  GgufWriteOptions write;
  write.fingerprint = fingerprint(all, options);
  write.resume = options.resume;
  write.discard_partial = options.discard;
  CARAT_TRY(out->writer_, create_gguf(path, out->metadata_, plan, write));
  out->next_ = out->writer_->completed();
  out->others_ = std::move(options.others);
  return out;
}

size_t HessianWriter::completed() const { return next_; }

Status HessianWriter::write(std::span<const float> squares) {
  const HessianPlace& place = places_[next_];
  const auto n = static_cast<size_t>(place.columns), size = static_cast<size_t>(place.triangle());
  for (int64_t m = 0; m < place.matrices; ++m) {
    triangle_.assign(size, 0.0f);
    if (!squares.empty()) {
      const float* square = squares.data() + static_cast<size_t>(m) * n * n;
      for (size_t i = 0, at = 0; i < n; at += ++i) std::copy_n(square + i * n, i + 1, triangle_.data() + at);
    }
    for (const HessianFile& file : others_) {
      other_.resize(size);
      CARAT_DO(file.read(next_, m, other_.data()));
      for (size_t i = 0; i < size; ++i) triangle_[i] += other_[i];
    }
    if (!std::ranges::all_of(triangle_, [](float v) { return std::isfinite(v); }))
      return bad_data(
          "{}: its sums are not all finite; a file that is to be merged is damaged, or they do not "
          "fit a float",
          tensor_name(place));
    CARAT_DO(writer_->write(Bytes(reinterpret_cast<const uint8_t*>(triangle_.data()), size * sizeof(float))));
  }
  ++next_;
  return writer_->finish_tensor("");
}

Status HessianWriter::finish(const std::vector<std::vector<uint64_t>>& tokens) {
  std::vector<std::vector<uint64_t>> all;
  for (size_t p = 0; p < places_.size(); ++p) {
    all.emplace_back(static_cast<size_t>(places_[p].matrices));
    for (size_t m = 0; m < all[p].size(); ++m) {
      if (!tokens.empty()) all[p][m] += tokens[p][m];
      for (const HessianFile& file : others_) all[p][m] += file.tokens(p, static_cast<int64_t>(m));
    }
  }
  metadata_.set(std::string(kTokensKey), Value::u64s(flat(all)));
  return writer_->finish(&metadata_);
}

}  // namespace carat
