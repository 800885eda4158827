#include "arch/tensor_scales.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "containers/quote.h"

namespace carat {
namespace {

constexpr std::string_view kWeight = ".weight", kScale = ".scale", kInputScale = ".input_scale";

std::string beside(std::string_view weight_name, std::string_view ending) {
  if (!weight_name.ends_with(kWeight)) return "";
  return std::string(weight_name.substr(0, weight_name.size() - kWeight.size())) + std::string(ending);
}

class Scaled final : public TensorData {
 public:
  Scaled(Tensor source, std::vector<float> scale)
      : source_(std::move(source)),
        scale_(std::move(scale)),
        matrix_rows_(source_.rows() / static_cast<int64_t>(scale_.size())) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    // Callers' buffers are bytes; decoding wants aligned floats.
    std::vector<float> row(static_cast<size_t>(source_.columns()));
    const size_t row_bytes = row.size() * sizeof(float);
    for (int64_t r = first; r < first + count; ++r, out += row_bytes) {
      CARAT_DO(source_.read_rows(r, 1, row.data()));
      const float scale = scale_[static_cast<size_t>(r / matrix_rows_)];
      for (float& x : row) x *= scale;
      std::memcpy(out, row.data(), row_bytes);
    }
    return {};
  }
  void prepare(int64_t first, int64_t count) const override { source_.data->prepare(first, count); }
  void release(int64_t first, int64_t count) const override { source_.data->release(first, count); }

 private:
  Tensor source_;
  std::vector<float> scale_;  ///< of each matrix
  int64_t matrix_rows_;
};

int64_t matrices_of(const Tensor& weight) { return weight.shape.size() == 3 ? weight.shape.front() : 1; }

}  // namespace

std::string scale_name(std::string_view weight_name) { return beside(weight_name, kScale); }
std::string input_scale_name(std::string_view weight_name) { return beside(weight_name, kInputScale); }

bool is_scale_name(std::string_view name, std::string& weight_name) {
  for (const std::string_view ending : {kInputScale, kScale}) {
    if (!name.ends_with(ending)) continue;
    weight_name = std::string(name.substr(0, name.size() - ending.size())) + std::string(kWeight);
    return true;
  }
  return false;
}

bool may_have_scale(const TensorRule& rule) {
  return rule.shape.size() >= 2 && rule.gguf.ends_with(kWeight) && rule.role != Role::token_embedding &&
         rule.role != Role::position_embedding && rule.role != Role::router;
}

const Tensor* find_scale(const Checkpoint& checkpoint, const Tensor& weight) {
  const std::string name = scale_name(weight.name);
  const Tensor* scale = name.empty() || weight.shape.size() < 2 ? nullptr : checkpoint.find(name);
  if (!scale || !scale->encoding->is_float || scale->rows() != 1 || scale->columns() < 1) return nullptr;
  return scale->columns() == 1 || scale->columns() == matrices_of(weight) ? scale : nullptr;
}

Result<std::vector<float>> read_scale(const Checkpoint& checkpoint, const Tensor& weight) {
  const Tensor* scale = find_scale(checkpoint, weight);
  if (!scale) return std::vector<float>();
  CARAT_TRY(std::vector<float> factors, scale->read_all());
  for (const float x : factors)
    if (!std::isfinite(x))
      return bad_data("{}: tensor {} holds {}, which no matrix can be multiplied by", checkpoint.source,
                      quote(scale->name), x);
  // One for all matrices says the same as one for each.
  factors.resize(static_cast<size_t>(matrices_of(weight)), factors.front());
  return factors;
}

Result<Checkpoint> fold_scales(const Checkpoint& checkpoint,
                               const std::function<bool(const Tensor&)>& chosen) {
  Checkpoint out = checkpoint;
  std::unordered_set<std::string> folded;
  for (Tensor& t : out.tensors) {
    if (!find_scale(checkpoint, t) || t.elements() == 0 || (chosen && !chosen(t))) continue;
    if (!t.encoding->can_decode())
      return bad_data("{}: tensor {} is {}, which carat carries but cannot decode", checkpoint.source,
                      quote(t.name), t.encoding->name);
    CARAT_TRY(std::vector<float> scale, read_scale(checkpoint, t));
    t.data = std::make_shared<Scaled>(t, std::move(scale));
    t.encoding = &encoding_f32();
    folded.insert(t.name);
  }
  std::string weight;
  std::erase_if(out.tensors,
                [&](const Tensor& t) { return is_scale_name(t.name, weight) && folded.contains(weight); });
  CARAT_DO(out.reindex());
  return out;
}

}  // namespace carat
