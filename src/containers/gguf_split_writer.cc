// Writes a model as several GGUF files, each a writer of its own with a partial file and a journal; they are
// finished together, the first part, which holds the metadata, last: a set that has its first part is whole.
#include "containers/gguf_split_writer.h"

#include "base/checked.h"
#include "base/digest.h"
#include "containers/gguf_parts.h"

namespace carat {
namespace {

std::string prefix_of(const std::string& path) {
  return path.ends_with(".gguf") ? path.substr(0, path.size() - 5) : path;
}

/// What parts after the first know of themselves.
Metadata metadata_of_rest(const Metadata& whole) {
  Metadata rest;
  if (const Value* alignment = whole.find("general.alignment")) rest.set("general.alignment", *alignment);
  return rest;
}

/// What a part takes before any tensor.
Result<uint64_t> header_bytes(Metadata metadata) {
  set_split_keys(metadata, 0, 2, 0, std::string(64, '0'));
  return gguf_file_size(metadata, {});
}

class SplitWriter final : public CheckpointWriter {
 public:
  struct Part {
    std::unique_ptr<CheckpointWriter> writer;
    size_t first, end;  ///< tensors
  };
  SplitWriter(std::vector<Part> parts, std::string model)
      : parts_(std::move(parts)), model_(std::move(model)) {
    for (const Part& part : parts_) {
      const auto& records = part.writer->records();
      records_.insert(records_.end(), records.begin(), records.end());
      if (part.writer->completed() < part.end - part.first) break;
      ++current_;
    }
    completed_ = records_.size();
  }

  uint64_t total_bytes() const override {
    uint64_t sum = 0;
    for (const Part& part : parts_) sum += part.writer->total_bytes();
    return sum;
  }
  size_t completed() const override { return completed_; }
  const std::vector<std::string>& records() const override { return records_; }

  Status write(Bytes rows) override {
    if (current_ == parts_.size())
      return error(Code::internal, "{} bytes written after the last tensor", rows.size());
    return parts_[current_].writer->write(rows);
  }
  Status finish_tensor(std::string_view record) override {
    if (current_ == parts_.size()) return error(Code::internal, "a tensor finished after the last one");
    CARAT_DO(parts_[current_].writer->finish_tensor(record));
    records_.emplace_back(record);
    if (records_.size() == parts_[current_].end) ++current_;
    return {};
  }
  Result<std::vector<uint8_t>> read_back(size_t tensor) const override {
    for (const Part& part : parts_)
      if (tensor < part.end) return part.writer->read_back(tensor - part.first);
    return error(Code::internal, "tensor {} is not written yet", tensor);
  }

  Status finish(const Metadata* final) override {
    for (size_t i = parts_.size(); i-- > 1;) CARAT_DO(parts_[i].writer->finish(nullptr));
    if (!final) return parts_[0].writer->finish(nullptr);
    Metadata first = *final;
    set_split_keys(first, 0, parts_.size(), parts_.back().end, model_);
    return parts_[0].writer->finish(&first);
  }
  void discard() override {
    for (const Part& part : parts_) part.writer->discard();
  }

 private:
  std::vector<Part> parts_;
  std::string model_;
  std::vector<std::string> records_;
  size_t current_ = 0;  ///< part
  size_t completed_ = 0;
};

}  // namespace

Result<std::vector<size_t>> divide_gguf(const Metadata& metadata, const std::vector<PlannedTensor>& plan,
                                        uint64_t split_bytes) {
  CARAT_TRY(const uint64_t whole, gguf_file_size(metadata, plan));  // also checks all of it
  if (split_bytes == 0 || whole <= split_bytes) return std::vector<size_t>{0};
  CARAT_TRY(const uint64_t of_first, header_bytes(metadata));
  CARAT_TRY(const uint64_t of_rest, header_bytes(metadata_of_rest(metadata)));
  std::vector<size_t> starts = {0};
  uint64_t taken = of_first;
  for (size_t i = 0; i < plan.size(); ++i) {
    CARAT_TRY(const uint64_t bytes,
              gguf_file_size(metadata_of_rest(metadata), {plan[i]}));  // with its header
    if (i > starts.back() && bytes > split_bytes - std::min(split_bytes, taken)) {
      starts.push_back(i);
      taken = of_rest;
    }
    taken += bytes;
  }
  if (starts.size() > kMostParts)
    return usage_error("files of at most {} bytes would be {} parts; GGUF counts up to {}", split_bytes,
                       starts.size(), kMostParts);
  return starts;
}

Result<std::vector<std::string>> gguf_files(const std::string& path, const Metadata& metadata,
                                            const std::vector<PlannedTensor>& plan, uint64_t split_bytes) {
  CARAT_TRY(const std::vector<size_t> starts, divide_gguf(metadata, plan, split_bytes));
  if (starts.size() == 1) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (size_t i = 0; i < starts.size(); ++i) files.push_back(part_path(prefix_of(path), i, starts.size()));
  return files;
}

Result<std::unique_ptr<CheckpointWriter>> create_split_gguf(const std::string& path, const Metadata& metadata,
                                                            const std::vector<PlannedTensor>& plan,
                                                            const GgufWriteOptions& options) {
  CARAT_TRY(std::vector<size_t> starts, divide_gguf(metadata, plan, options.split_bytes));
  GgufWriteOptions of_part = options;
  of_part.split_bytes = 0;
  if (starts.size() == 1) return create_gguf(path, metadata, plan, of_part);
  const size_t count = starts.size();
  starts.push_back(plan.size());
  Sha256 identity;
  identity.update(options.fingerprint);
  const std::string model = identity.hex();

  std::vector<SplitWriter::Part> parts;
  for (size_t i = 0; i < count; ++i) {
    Metadata of_this = i == 0 ? metadata : metadata_of_rest(metadata);
    set_split_keys(of_this, i, count, plan.size(), model);
    const std::vector<PlannedTensor> tensors(plan.begin() + static_cast<std::ptrdiff_t>(starts[i]),
                                             plan.begin() + static_cast<std::ptrdiff_t>(starts[i + 1]));
    CARAT_TRY(auto writer, create_gguf(part_path(prefix_of(path), i, count), of_this, tensors, of_part));
    if (writer->completed() < tensors.size() && of_part.resume) {
      // Whatever later parts hold comes after what is missing here, and is made again.
      of_part.resume = false;
      of_part.discard_partial = true;
    }
    parts.push_back({std::move(writer), starts[i], starts[i + 1]});
  }
  return std::unique_ptr<CheckpointWriter>(new SplitWriter(std::move(parts), model));
}

}  // namespace carat
