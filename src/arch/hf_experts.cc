#include "arch/hf_experts.h"

#include <algorithm>

#include "containers/quote.h"

namespace carat {
Result<int64_t> first_mixture_layer(const Metadata& metadata, const Family& family, int64_t layers) {
  const std::string prefix = std::string(family.architecture) + ".";
  CARAT_TRY(const uint64_t experts, metadata.unsigned_or(prefix + "expert_count", 0));
  if (experts == 0) return layers;
  CARAT_TRY(const uint64_t dense, metadata.unsigned_or(prefix + "leading_dense_block_count", 0));
  return static_cast<int64_t>(std::min<uint64_t>(dense, static_cast<uint64_t>(layers)));
}

namespace {

/// Tensors of one shape, one after the other.
class Stacked final : public TensorData {
 public:
  explicit Stacked(std::vector<Tensor> parts) : parts_(std::move(parts)), rows_(parts_.front().rows()) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    return each(first, count, [&](const Tensor& part, int64_t row, int64_t rows, int64_t done) {
      return part.data->read_bytes(row, rows, out + static_cast<uint64_t>(done) * part.row_bytes());
    });
  }
  void prepare(int64_t first, int64_t count) const override {
    (void)each(first, count, [&](const Tensor& part, int64_t row, int64_t rows, int64_t) -> Status {
      part.data->prepare(row, rows);
      return {};
    });
  }
  void release(int64_t first, int64_t count) const override {
    (void)each(first, count, [&](const Tensor& part, int64_t row, int64_t rows, int64_t) -> Status {
      part.data->release(row, rows);
      return {};
    });
  }

 private:
  /// body(part, row, rows, done) for the pieces of rows [first, first + count), `done` rows after the first.
  template <class Body>
  Status each(int64_t first, int64_t count, Body&& body) const {
    for (int64_t done = 0; done < count;) {
      const int64_t row = (first + done) % rows_;
      const int64_t rows = std::min(count - done, rows_ - row);
      CARAT_DO(body(parts_[static_cast<size_t>((first + done) / rows_)], row, rows, done));
      done += rows;
    }
    return {};
  }

  std::vector<Tensor> parts_;
  int64_t rows_;
};

/// Rows of a tensor from `begin` on.
class Slice final : public TensorData {
 public:
  Slice(Tensor source, int64_t begin, int64_t rows)
      : source_(std::move(source)), begin_(begin), rows_(rows) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    return source_.data->read_bytes(begin_ + first, count, out);
  }
  Bytes mapped() const override {
    const Bytes all = source_.data->mapped();
    const uint64_t row = source_.row_bytes();
    return all.empty() ? all
                       : all.subspan(static_cast<uint64_t>(begin_) * row, static_cast<uint64_t>(rows_) * row);
  }
  void prepare(int64_t first, int64_t count) const override { source_.data->prepare(begin_ + first, count); }
  void release(int64_t first, int64_t count) const override { source_.data->release(begin_ + first, count); }

 private:
  Tensor source_;
  int64_t begin_, rows_;
};

}  // namespace

Result<std::optional<HfWeights>> stack_experts(const Checkpoint& source, const TensorRule& rule,
                                               int64_t layer, std::unordered_set<std::string_view>& used) {
  std::vector<Tensor> parts;
  HfWeights out;
  // As many as there are: the shape that results is compared with the metadata like any other.
  for (;;) {
    CARAT_TRY(std::optional<HfWeights> found,
              find_weights(source, rule.hf_name(layer, static_cast<int64_t>(parts.size())), used));
    if (!found) break;
    const Tensor& part = found->tensor;
    if (!parts.empty() && (part.shape != parts.front().shape || part.encoding != parts.front().encoding))
      return bad_data("tensor {} has another shape or type than {}", quote(part.name),
                      quote(parts.front().name));
    parts.push_back(part);
    // Experts without one have 1.
    const auto append = [&](const std::vector<float>& one, std::vector<float>& all) {
      if (one.empty() && all.empty()) return;
      all.resize(parts.size() - 1, 1.0f);
      all.push_back(one.empty() ? 1.0f : one[0]);
    };
    append(found->scale, out.scale);
    append(found->input_scale, out.input_scale);
  }
  if (parts.empty()) return std::optional<HfWeights>();
  Tensor& stacked = out.tensor = parts.front();
  stacked.shape.insert(stacked.shape.begin(), static_cast<int64_t>(parts.size()));
  stacked.data = std::make_shared<Stacked>(std::move(parts));
  return std::optional<HfWeights>(std::move(out));
}

Tensor one_expert(const Tensor& stacked, int64_t expert) {
  Tensor one = stacked;
  one.shape.erase(one.shape.begin());
  const int64_t rows = one.rows();
  one.data = std::make_shared<Slice>(stacked, expert * rows, rows);
  return one;
}

}  // namespace carat
