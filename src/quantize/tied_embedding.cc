#include "quantize/tied_embedding.h"

#include <algorithm>

#include "arch/model_config.h"
#include "stats/calibrate.h"

namespace carat {
namespace {

constexpr const char* kEmbedding = "token_embd.weight";

CalibrationText some_of(const CalibrationText& text) {
  CalibrationText out = text;
  const auto n = std::ssize(text.sequences), count = std::min<std::ptrdiff_t>(n, kOutputSequences);
  out.sequences.clear();
  for (std::ptrdiff_t i = 0; i < count; ++i)
    out.sequences.push_back(text.sequences[static_cast<size_t>(i * n / count)]);
  return out;
}

Result<TensorImportance> importance_in(const HessianFile& hessians) {
  for (size_t p = 0; p < hessians.places().size(); ++p) {
    const HessianPlace& place = hessians.places()[p];
    if (place.readers.front() != kEmbedding) continue;
    std::vector<float> triangle(static_cast<size_t>(place.triangle())), diagonal;
    CARAT_DO(hessians.read(p, 0, triangle.data()));
    for (int64_t i = 0, at = 0; i < place.columns; ++i, at += i + 1)
      diagonal.push_back(triangle[static_cast<size_t>(at)]);
    return TensorImportance{std::move(diagonal)};
  }
  return TensorImportance();
}

}  // namespace

Status weigh_tied_embedding(const Context& context, const Checkpoint& checkpoint, Work& work) {
  if (!work.guided) return {};
  const auto at = std::ranges::find(checkpoint.tensors, kEmbedding, &Tensor::name);
  if (at == checkpoint.tensors.end()) return {};
  const auto i = static_cast<size_t>(at - checkpoint.tensors.begin());
  if (!work.rounders[i] || work.plan.tensors[i].to->is_float) return {};
  CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
  if (!config.tied_embeddings) return {};
  work.importance.resize(checkpoint.tensors.size());
  if (!work.importance[i].empty()) return {};
  if (work.hessians) {
    CARAT_TRY(work.importance[i], importance_in(*work.hessians));
    return {};
  }
  CalibrateOptions how;
  how.activations = work.activations;
  CARAT_TRY(const Calibration seen, calibrate(context, checkpoint, some_of(*work.text), how));
  CARAT_TRY(work.importance[i], importance_of(checkpoint, *at, seen.statistics));
  return {};
}

}  // namespace carat
