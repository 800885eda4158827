#include "containers/mapped_tensor.h"

#include <cstring>

namespace carat {

namespace {

class MappedTensor final : public TensorData {
 public:
  MappedTensor(std::shared_ptr<const MappedFile> file, uint64_t offset, int64_t rows, uint64_t row_bytes)
      : file_(std::move(file)), offset_(offset), rows_(rows), row_bytes_(row_bytes) {}

  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    if (!inside(first, count)) {
      return error(Code::internal, "{}: {} rows from {} asked for, but there are {}", file_->path(), count,
                   first, rows_);
    }
    const uint64_t size = static_cast<uint64_t>(count) * row_bytes_;
    if (size > 0) std::memcpy(out, mapped().data() + static_cast<uint64_t>(first) * row_bytes_, size);
    return {};
  }

  Bytes mapped() const override {
    return file_->bytes().subspan(offset_, static_cast<uint64_t>(rows_) * row_bytes_);
  }

  void prepare(int64_t first, int64_t count) const override {
    if (!inside(first, count)) return;
    file_->prepare(offset_ + static_cast<uint64_t>(first) * row_bytes_,
                   static_cast<uint64_t>(count) * row_bytes_);
  }

  void release(int64_t first, int64_t count) const override {
    if (!inside(first, count)) return;
    file_->release(offset_ + static_cast<uint64_t>(first) * row_bytes_,
                   static_cast<uint64_t>(count) * row_bytes_);
  }

 private:
  bool inside(int64_t first, int64_t count) const {
    return first >= 0 && count >= 0 && first <= rows_ && count <= rows_ - first;
  }

  std::shared_ptr<const MappedFile> file_;
  uint64_t offset_;
  int64_t rows_;
  uint64_t row_bytes_;
};

}  // namespace

std::shared_ptr<const TensorData> mapped_tensor_data(std::shared_ptr<const MappedFile> file, uint64_t offset,
                                                     int64_t rows, uint64_t row_bytes) {
  return std::make_shared<MappedTensor>(std::move(file), offset, rows, row_bytes);
}

}  // namespace carat
