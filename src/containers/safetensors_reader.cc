// safetensors: u64 length of the header, the header, then the data to the end of the file.
//
//   {"__metadata__": {"format": "pt"},
//    "model.norm.weight": {"dtype": "BF16", "shape": [576], "data_offsets": [0, 1152]}, ...}   (spaces may
//    follow)
//
// Offsets count from the end of the header; together they cover the data exactly, without hole or overlap, as
// the reference implementation demands. The header is read as events, not as a tree (json_events.h).
//
// A directory's index names its shards by plain file names. Names that lead elsewhere are refused; symbolic
// links are followed, because a Hugging Face cache consists of them.
#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "base/checked.h"
#include "containers/json_events.h"
#include "containers/mapped_tensor.h"
#include "containers/memory_budget.h"
#include "containers/quote.h"
#include "containers/safetensors.h"
#include "containers/safetensors_format.h"

namespace carat {

namespace {

constexpr size_t max_string_bytes = 16 << 20;  // of one __metadata__ value
constexpr uint64_t max_index_bytes = 256 << 20;

struct Entry {
  Tensor tensor;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// Collects the header's entries; what does not have exactly the shape above is an error.
class HeaderEvents final : public JsonEvents {
 public:
  explicit HeaderEvents(MemoryBudget& budget) : budget_(budget) {}
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;

  Status key(std::string_view name) override {
    if (depth_ == 1) return tensor_key(name);
    if (in_metadata_) {
      CARAT_DO(budget_.charge(metadata_cost + 2 * name.size()));
      metadata.emplace_back(name, "");
      return {};
    }
    for (const Field f : {Field::dtype, Field::shape, Field::offsets}) {
      if (name != field_names[f]) continue;
      if ((seen_ & 1u << f) != 0) return bad_data("{} has two entries {}", where(), quote(name));
      seen_ |= 1u << f;
      field_ = f;
      return {};
    }
    return bad_data("{} has the unknown entry {}", where(), quote(name));
  }

  Status string(std::string_view text) override {
    if (in_metadata_ && depth_ == 2) {
      CARAT_DO(budget_.charge_text(text.size()));
      metadata.back().second = text;
      return {};
    }
    if (depth_ != 2 || field_ != Field::dtype) return misplaced("a string");
    if (!safetensors::is_dtype(text)) return bad_data("{} has the unknown dtype {}", where(), quote(text));
    entries.back().tensor.encoding = find_encoding(text);
    return {};
  }

  Status integer(uint64_t value) override {
    if (in_metadata_ || depth_ != 3) return misplaced("a number");
    Entry& e = entries.back();
    if (field_ == Field::offsets) {
      if (offsets_ == 2) return bad_data("{} has more than two data_offsets", where());
      (offsets_++ == 0 ? e.begin : e.end) = value;
      return {};
    }
    if (e.tensor.shape.size() == safetensors::max_dimensions) {
      return bad_data("{} has more than {} dimensions", where(), safetensors::max_dimensions);
    }
    if (value > INT64_MAX) return bad_data("{} has a dimension of {}", where(), value);
    e.tensor.shape.push_back(static_cast<int64_t>(value));
    return {};
  }

  Status other() override { return misplaced("something that is neither a string nor a whole number"); }

  Status begin_object() override {
    if (depth_ >= 2) return misplaced("an object");
    ++depth_;
    return {};
  }
  Status end_object() override {
    --depth_;
    if (depth_ != 1) return {};
    if (!in_metadata_ && seen_ != 7) return bad_data("{} lacks its dtype, shape or data_offsets", where());
    if (!in_metadata_ && offsets_ != 2) return bad_data("{} needs two data_offsets", where());
    in_metadata_ = false;
    return {};
  }
  Status begin_array() override {
    if (depth_ != 2 || in_metadata_ || field_ == Field::dtype) return misplaced("an array");
    ++depth_;
    return {};
  }
  Status end_array() override {
    --depth_;
    return {};
  }

 private:
  enum Field : unsigned { dtype, shape, offsets };
  static constexpr std::string_view field_names[] = {"dtype", "shape", "data_offsets"};

  Status tensor_key(std::string_view name) {
    seen_ = 0;
    offsets_ = 0;
    if (name == "__metadata__") {
      if (std::exchange(had_metadata_, true)) return bad_data("the header has two entries \"__metadata__\"");
      in_metadata_ = true;
      return {};
    }
    if (name.empty() || name.size() > safetensors::max_name_bytes) {
      return bad_data("a tensor's name has {} bytes; 1 to {} are allowed", name.size(),
                      safetensors::max_name_bytes);
    }
    CARAT_DO(budget_.charge(tensor_cost + 2 * sizeof(Entry) + 2 * name.size()));
    entries.emplace_back().tensor.name = name;
    return {};
  }

  std::string where() const {
    if (in_metadata_) return "__metadata__";
    return entries.empty() ? "the header" : fmt::format("tensor {}", quote(entries.back().tensor.name));
  }
  Status misplaced(std::string_view what) const {
    return bad_data("{} holds {} where none belongs", where(), what);
  }

  MemoryBudget& budget_;
  int depth_ = 0;
  bool in_metadata_ = false;
  bool had_metadata_ = false;
  Field field_ = Field::dtype;
  unsigned seen_ = 0;
  int offsets_ = 0;
};

/// Bytes of the tensor by its shape and dtype; a shape with a zero has none.
Result<uint64_t> bytes_of(const Tensor& t) {
  uint64_t elements = 1;
  // A zero must not hide an overflow of the other factors, which rows() would still multiply.
  for (const int64_t n : t.shape) {
    const auto product = checked_mul(elements, static_cast<uint64_t>(std::max<int64_t>(n, 1)));
    if (!product || *product > INT64_MAX) return bad_data("tensor {}: its shape overflows", quote(t.name));
    elements = *product;
  }
  if (std::ranges::find(t.shape, 0) != t.shape.end()) return 0;
  const auto bytes = checked_mul(elements, t.encoding->block_bytes);
  if (!bytes) return bad_data("tensor {}: its shape overflows", quote(t.name));
  return *bytes;
}

/// Adds the tensors of one file, in the order of their data, and its metadata.
Status read_file(const std::shared_ptr<const MappedFile>& file, MemoryBudget& budget, Checkpoint& out) {
  const Bytes bytes = file->bytes();
  uint64_t header_bytes = 0;
  if (bytes.size() < 8) return bad_data("not a safetensors file: it has {} bytes", bytes.size());
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > bytes.size() - 8 || header_bytes > safetensors::max_header_bytes) {
    return bad_data(
        "the header claims {} bytes, but {} remain in the file and {} are allowed: not a safetensors "
        "file, or a truncated one",
        header_bytes, bytes.size() - 8, safetensors::max_header_bytes);
  }
  budget.add_file(bytes.size());
  HeaderEvents header(budget);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes);
  if (!text.starts_with('{'))
    return bad_data("not a safetensors file: its header does not start with \"{{\"");
  CARAT_DO(read_json_events(text, max_string_bytes, header));

  const uint64_t start = 8 + header_bytes;
  const uint64_t available = bytes.size() - start;
  std::ranges::stable_sort(header.entries, {}, [](const Entry& e) { return std::pair(e.begin, e.end); });
  uint64_t expected = 0;
  for (Entry& e : header.entries) {
    CARAT_TRY(const uint64_t size, bytes_of(e.tensor));
    if (e.begin > e.end || e.end - e.begin != size) {
      return bad_data("tensor {}: data_offsets {} to {} do not hold the {} bytes of its shape and dtype",
                      quote(e.tensor.name), e.begin, e.end, size);
    }
    if (e.end > available) {
      return bad_data(
          "tensor {} ends at byte {} of the data, but the file has {}: it is truncated or damaged",
          quote(e.tensor.name), e.end, available);
    }
    if (e.begin != expected) {
      return bad_data(
          "tensor {} starts at byte {} of the data, but the one before it ends at {}: tensors must follow "
          "one another without gap or overlap",
          quote(e.tensor.name), e.begin, expected);
    }
    expected = e.end;
    e.tensor.data = mapped_tensor_data(file, start + e.begin, e.tensor.rows(), e.tensor.row_bytes());
    out.tensors.push_back(std::move(e.tensor));
  }
  if (expected != available) {
    return bad_data("the tensors end at byte {} of the data, but the file has {}", expected, available);
  }
  for (auto& [key, value] : header.metadata) {
    if (!out.metadata.has(key)) out.metadata.set(key, Value::string(std::move(value)));
  }
  out.file_bytes += bytes.size();
  out.files.push_back(file->path());
  return {};
}

Status open_and_read(const std::string& path, MemoryBudget& budget, Checkpoint& out) {
  CARAT_TRY(const std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  if (Status s = read_file(file, budget, out); !s) return std::move(s).error().within(path);
  return {};
}

/// Collects weight_map of an index; everything else there is skipped.
class IndexEvents final : public JsonEvents {
 public:
  explicit IndexEvents(MemoryBudget& budget) : budget_(budget) {}
  std::map<std::string, size_t, std::less<>> shards;     ///< file name -> its number of tensors
  std::unordered_map<std::string, std::string_view> at;  ///< tensor -> file name, which lives in `shards`
  bool found = false;

  Status key(std::string_view name) override {
    if (depth_ == 1) {
      in_map_ = name == "weight_map";
      if (in_map_ && found) return bad_data("it has two weight_maps");
      found = found || in_map_;
    }
    if (in_map_ && depth_ == 2) tensor_ = name;
    return {};
  }
  Status string(std::string_view file) override {
    if (!in_map_) return {};
    if (depth_ != 2) return misplaced();
    if (file.empty() || file == "." || file == ".." ||
        file.find_first_of(std::string_view("/\\\0", 3)) != file.npos) {
      return bad_data("weight_map sends tensor {} to {}, which is not the name of a file beside it",
                      quote(tensor_), quote(file));
    }
    auto shard = shards.find(file);
    if (shard == shards.end()) {
      CARAT_DO(budget_.charge(128 + 2 * file.size()));
      shard = shards.emplace(file, 0).first;
    }
    CARAT_DO(budget_.charge(128 + 2 * tensor_.size()));
    if (!at.emplace(tensor_, shard->first).second) {
      return bad_data("weight_map names tensor {} twice", quote(tensor_));
    }
    ++shard->second;
    return {};
  }
  Status integer(uint64_t) override { return other(); }
  Status other() override { return in_map_ ? misplaced() : Status{}; }
  Status begin_object() override {
    ++depth_;
    return in_map_ && depth_ > 2 ? misplaced() : Status{};
  }
  Status end_object() override {
    --depth_;
    return {};
  }
  Status begin_array() override {
    ++depth_;
    return in_map_ ? misplaced() : Status{};
  }
  Status end_array() override {
    --depth_;
    return {};
  }

 private:
  Status misplaced() const { return bad_data("weight_map must map tensor names to file names and does not"); }

  MemoryBudget& budget_;
  int depth_ = 0;
  bool in_map_ = false;
  std::string tensor_;
};

Status read_shards(const std::string& directory, const std::string& index_path, MemoryBudget& budget,
                   Checkpoint& out) {
  IndexEvents index(budget);
  {
    CARAT_TRY(const std::string text, read_small_file(index_path, max_index_bytes));
    budget.add_file(text.size());
    CARAT_DO(budget.charge(text.size()));
    if (Status s = read_json_events(text, safetensors::max_name_bytes, index); !s) {
      return std::move(s).error().within(index_path);
    }
  }
  if (!index.found) return bad_data("{}: it has no weight_map", index_path);
  for (const auto& [name, count] : index.shards) {
    const std::string path = directory + "/" + name;
    const size_t first = out.tensors.size();
    if (Status s = open_and_read(path, budget, out); !s) {
      // The index promised this file: its absence is a damaged checkpoint, not a mistyped path.
      if (s.error().code != Code::no_input) return s;
      return bad_data("{} lists a shard that cannot be read: {}", index_path, s.error().message);
    }
    for (size_t i = first; i < out.tensors.size(); ++i) {
      const auto it = index.at.find(out.tensors[i].name);
      if (it == index.at.end() || it->second != name) {
        return bad_data("{}: holds tensor {}, which the index {}", path, quote(out.tensors[i].name),
                        it == index.at.end() ? "does not list" : "places in another shard");
      }
    }
    // Names within a shard can repeat only if reindex() below refuses them, so equal counts mean equal sets.
    if (out.tensors.size() - first < count) {
      return bad_data("{}: holds {} of the {} tensors that the index places there", path,
                      out.tensors.size() - first, count);
    }
  }
  return {};
}

}  // namespace

Result<Checkpoint> read_safetensors(const std::string& path) {
  Checkpoint out;
  out.source = path;
  out.container = "safetensors";
  MemoryBudget budget;
  CARAT_DO(open_and_read(path, budget, out));
  CARAT_DO(out.reindex());
  return out;
}

Result<Checkpoint> read_safetensors_directory(const std::string& directory) {
  Checkpoint out;
  out.source = directory;
  out.container = "safetensors";
  MemoryBudget budget;
  // As the Hugging Face library does: the single file wins where both are there.
  const std::string single = directory + "/" + std::string(safetensors::single_file);
  const std::string index = directory + "/" + std::string(safetensors::index_file);
  if (file_exists(single)) {
    CARAT_DO(open_and_read(single, budget, out));
  } else if (file_exists(index)) {
    CARAT_DO(read_shards(directory, index, budget, out));
  } else {
    return error(Code::no_input, "{}: holds neither {} nor {}", directory, safetensors::single_file,
                 safetensors::index_file);
  }
  CARAT_DO(out.reindex());
  return out;
}

}  // namespace carat
