#include "transforms/rotation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "base/random.h"

namespace carat {
namespace {

constexpr int64_t kLanes = 32;  ///< columns that are mixed at once

/// Rows of a random orthogonal matrix: Gaussian vectors, each made orthogonal to those before (twice, for the
/// digits).
std::vector<double> random_orthogonal(int64_t m, Random& random) {
  std::vector<double> q(static_cast<size_t>(m * m));
  for (int64_t r = 0; r < m; ++r) {
    double* row = q.data() + r * m;
    for (int64_t i = 0; i < m; ++i) row[i] = random.normal();
    for (int again = 0; again < 2; ++again)
      for (int64_t before = 0; before < r; ++before) {
        double dot = 0;
        for (int64_t i = 0; i < m; ++i) dot += row[i] * q[before * m + i];
        for (int64_t i = 0; i < m; ++i) row[i] -= dot * q[before * m + i];
      }
    double length = 0;
    for (int64_t i = 0; i < m; ++i) length += row[i] * row[i];
    length = std::sqrt(length);
    for (int64_t i = 0; i < m; ++i) row[i] /= length;
  }
  return q;
}

class RotatedColumns final : public TensorData {
 public:
  RotatedColumns(Tensor source, std::shared_ptr<const Rotation> rotation, std::vector<double> gain)
      : source_(std::move(source)), rotation_(std::move(rotation)), gain_(std::move(gain)) {}

  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const int64_t columns = source_.columns();
    std::vector<float> row(static_cast<size_t>(columns));
    std::vector<double> mixed(row.size());
    for (int64_t r = first; r < first + count; ++r) {
      CARAT_DO(source_.read_rows(r, 1, row.data()));
      for (int64_t c = 0; c < columns; ++c) mixed[c] = gain_.empty() ? row[c] : gain_[c] * row[c];
      for (int64_t c = 0; c < columns; c += rotation_->size()) rotation_->apply(mixed.data() + c, 1);
      for (int64_t c = 0; c < columns; ++c) row[c] = static_cast<float>(mixed[c]);
      std::memcpy(out + static_cast<size_t>(r - first) * row.size() * sizeof(float), row.data(),
                  row.size() * sizeof(float));
    }
    return {};
  }
  void release(int64_t first, int64_t count) const override { source_.data->release(first, count); }

 private:
  Tensor source_;
  std::shared_ptr<const Rotation> rotation_;
  std::vector<double> gain_;
};

class RotatedRows final : public TensorData {
 public:
  RotatedRows(Tensor source, std::shared_ptr<const Rotation> rotation)
      : source_(std::move(source)), rotation_(std::move(rotation)) {}

  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const std::lock_guard lock(mutex_);
    if (whole_.empty()) CARAT_DO(rotate());
    const size_t row = static_cast<size_t>(source_.columns());
    std::memcpy(out, whole_.data() + static_cast<size_t>(first) * row,
                static_cast<size_t>(count) * row * sizeof(float));
    return {};
  }

  void release(int64_t first, int64_t count) const override {
    const std::lock_guard lock(mutex_);
    if (first + count == source_.rows()) whole_ = {};
  }

 private:
  Status rotate() const {
    const int64_t rows = source_.rows(), columns = source_.columns(), run = rotation_->size();
    std::vector<float> whole(static_cast<size_t>(rows * columns));
    CARAT_DO(source_.read_rows(0, rows, whole.data()));
    source_.data->release(0, rows);
    std::vector<double> strip(static_cast<size_t>(run * kLanes));
    for (int64_t first = 0; first < rows; first += run)
      for (int64_t c = 0; c < columns; c += kLanes) {
        const int64_t n = std::min(kLanes, columns - c);
        for (int64_t r = 0; r < run; ++r)
          for (int64_t i = 0; i < n; ++i) strip[r * n + i] = whole[(first + r) * columns + c + i];
        rotation_->apply(strip.data(), n);
        for (int64_t r = 0; r < run; ++r)
          for (int64_t i = 0; i < n; ++i)
            whole[(first + r) * columns + c + i] = static_cast<float>(strip[r * n + i]);
      }
    whole_ = std::move(whole);
    return {};
  }

  Tensor source_;
  std::shared_ptr<const Rotation> rotation_;
  mutable std::mutex mutex_;
  mutable std::vector<float> whole_;
};

Tensor replaced(const Tensor& tensor, std::shared_ptr<const TensorData> data) {
  Tensor out = tensor;
  out.encoding = &encoding_f32();
  out.data = std::move(data);
  return out;
}

}  // namespace

Rotation::Rotation(int64_t n, uint64_t seed) : n_(n), odd_(n), power_(1) {
  while (odd_ % 2 == 0) {
    odd_ /= 2;
    power_ *= 2;
  }
  Random random(seed);
  const double scale = 1.0 / std::sqrt(static_cast<double>(power_));
  for (int64_t i = 0; i < n; ++i) signs_.push_back(random.next() % 2 ? scale : -scale);
  if (odd_ > 1) q_ = random_orthogonal(odd_, random);
}

void Rotation::apply(double* x, int64_t lanes) const {
  for (int64_t i = 0; i < n_; ++i)
    for (int64_t t = 0; t < lanes; ++t) x[i * lanes + t] *= signs_[static_cast<size_t>(i)];
  for (int64_t block = 0; block < n_; block += power_)
    for (int64_t half = 1; half < power_; half *= 2)
      for (int64_t i = block; i < block + power_; i += 2 * half)
        for (int64_t k = i * lanes; k < (i + half) * lanes; ++k) {
          const double a = x[k], b = x[k + half * lanes];
          x[k] = a + b;
          x[k + half * lanes] = a - b;
        }
  if (odd_ == 1) return;
  std::vector<double> before(static_cast<size_t>(odd_ * lanes));
  for (int64_t j = 0; j < power_; ++j) {
    for (int64_t b = 0; b < odd_; ++b)
      std::copy_n(x + (b * power_ + j) * lanes, lanes, before.begin() + b * lanes);
    for (int64_t b = 0; b < odd_; ++b)
      for (int64_t t = 0; t < lanes; ++t) {
        double sum = 0;
        for (int64_t from = 0; from < odd_; ++from) sum += before[from * lanes + t] * q_[from * odd_ + b];
        x[(b * power_ + j) * lanes + t] = sum;
      }
  }
}

Tensor with_rotated_columns(const Tensor& tensor, std::shared_ptr<const Rotation> rotation,
                            std::vector<double> gain) {
  return replaced(tensor, std::make_shared<RotatedColumns>(tensor, std::move(rotation), std::move(gain)));
}

Tensor with_rotated_rows(const Tensor& tensor, std::shared_ptr<const Rotation> rotation) {
  return replaced(tensor, std::make_shared<RotatedRows>(tensor, std::move(rotation)));
}

}  // namespace carat
