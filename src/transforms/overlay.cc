#include "transforms/overlay.h"

#include <algorithm>
#include <cstring>

namespace carat {
namespace {

class OverlayData final : public TensorData {
 public:
  OverlayData(Tensor source, Overlay overlay, int64_t columns)
      : source_(std::move(source)), overlay_(std::move(overlay)), columns_(columns) {}

  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::vector<float> in(static_cast<size_t>(source_.columns()));
    std::vector<float> row(static_cast<size_t>(columns_));
    const size_t row_bytes = row.size() * sizeof(float);
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t from = source_row(r);
      if (from < 0) {
        std::fill(row.begin(), row.end(), 0.0f);
      } else {
        CARAT_DO(source_.read_rows(from, 1, in.data()));
        rewrite(r, in.data(), row.data());
      }
      std::memcpy(out + static_cast<size_t>(r - first) * row_bytes, row.data(), row_bytes);
    }
    return {};
  }

  void release(int64_t first, int64_t count) const override {
    int64_t low = source_.rows(), high = -1;
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t from = source_row(r);
      if (from < 0) continue;
      low = std::min(low, from);
      high = std::max(high, from);
    }
    if (high >= low) source_.data->release(low, high - low + 1);
  }

 private:
  int64_t source_row(int64_t r) const { return overlay_.row.empty() ? r : overlay_.row[r]; }

  void rewrite(int64_t r, const float* in, float* out) const {
    const double s = overlay_.scale * (overlay_.row_scale.empty() ? 1.0 : overlay_.row_scale[r]);
    for (int64_t c = 0; c < columns_; ++c) {
      const int64_t from = overlay_.column.empty() ? c : overlay_.column[c];
      const double t = overlay_.column_scale.empty() ? s : s * overlay_.column_scale[c];
      out[c] = from < 0 ? 0.0f : static_cast<float>(static_cast<double>(in[from]) * t);
    }
  }

  Tensor source_;
  Overlay overlay_;
  int64_t columns_;
};

}  // namespace

Tensor with_overlay(const Tensor& tensor, Overlay overlay) {
  Tensor out = tensor;
  if (!overlay.column.empty()) out.shape.back() = static_cast<int64_t>(overlay.column.size());
  if (!overlay.row.empty()) out.shape.front() = static_cast<int64_t>(overlay.row.size());
  out.encoding = &encoding_f32();
  out.data = std::make_shared<OverlayData>(tensor, std::move(overlay), out.columns());
  return out;
}

}  // namespace carat
