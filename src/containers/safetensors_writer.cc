// Layout at the top of safetensors_reader.cc. Every header is known before the first byte.
//
// Within a shard wider dtypes come first, which keeps every tensor aligned to its own element size, as
// readers that view the mapped file need it; padding between tensors is not allowed by the format. The rows
// arrive in the order of the plan all the same: each tensor is written at its place.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <unordered_set>

#include "containers/durable.h"
#include "containers/json.h"
#include "containers/quote.h"
#include "containers/safetensors.h"
#include "containers/safetensors_format.h"

namespace carat {

namespace {

struct Place {
  size_t shard = 0;
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
};

struct Shard {
  std::string name;
  std::string header;  // with its length in front
  size_t first = 0;    // tensors [first, last) of the plan
  size_t last = 0;
  uint64_t data_bytes = 0;
};

struct Layout {
  std::vector<Shard> shards;
  std::vector<Place> places;
  std::string index;  // empty for a single file
  uint64_t total = 0;
};

Result<uint64_t> planned_bytes(const PlannedTensor& t) {
  if (t.name.empty() || t.name == "__metadata__" || t.name.size() > safetensors::max_name_bytes) {
    return bad_data("safetensors allows no tensor of the name {}", quote(t.name));
  }
  if (!safetensors::is_dtype(t.encoding->name)) {
    return bad_data("tensor {} is stored as {}, which safetensors has no dtype for", quote(t.name),
                    t.encoding->name);
  }
  uint64_t bytes = t.encoding->block_bytes;
  for (const int64_t n : t.shape) {
    const auto product = n < 0 ? std::nullopt : checked_mul(bytes, static_cast<uint64_t>(n));
    if (!product || *product > INT64_MAX) return bad_data("tensor {} has an impossible shape", quote(t.name));
    bytes = *product;
  }
  return bytes;
}

/// Places the shard's tensors, widest elements first, and writes its header.
void lay_out_shard(const std::vector<PlannedTensor>& plan, Shard& shard, std::vector<Place>& places) {
  std::vector<size_t> order(shard.last - shard.first);
  std::iota(order.begin(), order.end(), shard.first);
  std::ranges::stable_sort(order, std::greater{}, [&](size_t i) { return plan[i].encoding->block_bytes; });
  json::object header;
  // Readers of the Hugging Face world refuse a file that does not say which framework it is for.
  header["__metadata__"] = json::object{{"format", "pt"}};
  for (const size_t i : order) {
    places[i].offset = shard.data_bytes;
    shard.data_bytes += places[i].bytes;
    header[plan[i].name] = json::object{{"dtype", std::string(plan[i].encoding->name)},
                                        {"shape", json::array(plan[i].shape.begin(), plan[i].shape.end())},
                                        {"data_offsets", {places[i].offset, shard.data_bytes}}};
  }
  std::string text = json::serialize(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  shard.header.assign(reinterpret_cast<const char*>(&length), 8);
  shard.header += text;
  for (size_t i = shard.first; i < shard.last; ++i) places[i].offset += shard.header.size();
}

Result<Layout> lay_out(const std::vector<PlannedTensor>& plan, uint64_t shard_bytes) {
  Layout out;
  out.places.resize(plan.size());
  out.shards.emplace_back();
  std::unordered_set<std::string_view> names;
  uint64_t in_shard = 0;
  uint64_t all = 0;
  for (size_t i = 0; i < plan.size(); ++i) {
    if (!names.insert(plan[i].name).second) return bad_data("two tensors are named {}", quote(plan[i].name));
    CARAT_TRY(const uint64_t bytes, planned_bytes(plan[i]));
    if (in_shard > 0 && (bytes > shard_bytes || in_shard > shard_bytes - bytes)) {
      out.shards.back().last = i;
      out.shards.emplace_back().first = i;
      in_shard = 0;
    }
    out.places[i].bytes = bytes;
    out.places[i].shard = out.shards.size() - 1;
    in_shard += bytes;
    all += bytes;
    if (all > INT64_MAX) return bad_data("the tensors together are larger than any file can be");
  }
  out.shards.back().last = plan.size();

  json::object weight_map;
  for (size_t s = 0; s < out.shards.size(); ++s) {
    Shard& shard = out.shards[s];
    shard.name = out.shards.size() == 1
                     ? std::string(safetensors::single_file)
                     : fmt::format("model-{:05d}-of-{:05d}.safetensors", s + 1, out.shards.size());
    lay_out_shard(plan, shard, out.places);
    if (shard.header.size() - 8 > safetensors::max_header_bytes) {
      return bad_data("{} tensors make a header larger than safetensors allows; use smaller shards",
                      shard.last - shard.first);
    }
    out.total += shard.header.size() + shard.data_bytes;
    for (size_t i = shard.first; i < shard.last; ++i) weight_map[plan[i].name] = shard.name;
  }
  if (out.shards.size() > 1) {
    out.index =
        pretty_json(json::object{{"metadata", {{"total_size", all}}}, {"weight_map", std::move(weight_map)}});
    out.total += out.index.size();
  }
  return out;
}

class Writer final : public SafetensorsWriter {
 public:
  Writer(std::string directory, Layout layout)
      : directory_(std::move(directory)), layout_(std::move(layout)) {}
  ~Writer() override {
    if (file_ >= 0) ::close(file_);
  }

  uint64_t total_bytes() const override { return layout_.total; }

  Status write(Bytes rows) override {
    while (!rows.empty()) {
      if (!skip_complete())
        return error(Code::internal, "{} bytes written after the last tensor", rows.size());
      const Place& place = layout_.places[current_];
      CARAT_DO(enter(place.shard));
      const uint64_t n = std::min<uint64_t>(rows.size(), place.bytes - written_);
      CARAT_DO(write_at(file_, place.offset + written_, rows.first(n), path()));
      written_ += n;
      rows = rows.subspan(n);
    }
    return {};
  }

  Status finish() override {
    if (skip_complete()) {
      return error(Code::internal, "tensor {} of {} is not complete", current_ + 1, layout_.places.size());
    }
    // Also shards that hold nothing but empty tensors.
    CARAT_DO(enter(layout_.shards.size() - 1));
    CARAT_DO(leave());
    const std::string index = directory_ + "/" + std::string(safetensors::index_file);
    if (!layout_.index.empty()) CARAT_DO(write_synced_file(index, layout_.index));
    return sync_directory_of(index);
  }

 private:
  /// Steps to the next tensor that still needs bytes; false at the end.
  bool skip_complete() {
    while (current_ < layout_.places.size() && written_ == layout_.places[current_].bytes) {
      ++current_;
      written_ = 0;
    }
    return current_ < layout_.places.size();
  }

  std::string path() const { return directory_ + "/" + layout_.shards[shard_].name; }

  /// Makes `shard` the open one, completing those before it.
  Status enter(size_t shard) {
    while (file_ < 0 || shard_ < shard) {
      if (file_ >= 0) {
        CARAT_DO(leave());
        ++shard_;
      }
      file_ = ::open(path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (file_ < 0) return error(Code::io, "{}: cannot create: {}", path(), std::strerror(errno));
      const std::string& header = layout_.shards[shard_].header;
      CARAT_DO(write_at(file_, 0, {reinterpret_cast<const uint8_t*>(header.data()), header.size()}, path()));
    }
    return {};
  }

  Status leave() {
    if (::fsync(file_) != 0) return error(Code::io, "{}: cannot sync: {}", path(), std::strerror(errno));
    ::close(std::exchange(file_, -1));
    return {};
  }

  std::string directory_;
  Layout layout_;
  int file_ = -1;
  size_t shard_ = 0;    // the open one, or the first
  size_t current_ = 0;  // tensor being written
  uint64_t written_ = 0;
};

}  // namespace

Result<std::unique_ptr<SafetensorsWriter>> create_safetensors(const std::string& directory,
                                                              const std::vector<PlannedTensor>& plan,
                                                              uint64_t shard_bytes) {
  auto layout = lay_out(plan, shard_bytes);
  if (!layout) return std::move(layout).error().within(directory);
  CARAT_DO(check_free_space(directory + "/", layout->total));
  return std::unique_ptr<SafetensorsWriter>(new Writer(directory, *std::move(layout)));
}

}  // namespace carat
