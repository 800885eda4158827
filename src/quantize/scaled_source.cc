#include "quantize/scaled_source.h"

#include <algorithm>
#include <map>

#include "arch/tensor_scales.h"
#include "quantize/method.h"
#include "quantize/work.h"

namespace carat {
namespace {

bool any_scaled(const Checkpoint& checkpoint) {
  return std::ranges::any_of(checkpoint.tensors, [&](const Tensor& t) { return find_scale(checkpoint, t); });
}

}  // namespace

Error would_requantize(const Checkpoint& checkpoint, std::string_view tensor, const Encoding& from,
                       std::string_view to) {
  return usage_error(
      "{}: {} is {} already, and rounding it again to {} loses more than either encoding alone. Start from "
      "the original "
      "weights, or give leave with --allow-requantize",
      checkpoint.source, tensor, from.name, to);
}

Result<Checkpoint> scaled_source(const Checkpoint& checkpoint, const Method& method,
                                 const QuantizeOptions& options, std::vector<std::string>* notes) {
  if (!any_scaled(checkpoint)) return checkpoint;
  CARAT_TRY(const std::vector<TensorChoice> choices, choose_encodings(checkpoint, options));
  const bool all = !method.transforms.empty() || method.rounder->needs_feedback();
  std::map<std::string_view, const Encoding*> folded;
  for (size_t i = 0; i < choices.size(); ++i) {
    const Tensor& t = checkpoint.tensors[i];
    const Encoding& to = *choices[i].encoding;
    if (!find_scale(checkpoint, t) || (!all && &to == t.encoding)) continue;
    if (!t.encoding->is_float && !to.is_float && !options.allow_requantize)
      return would_requantize(checkpoint, t.name, *t.encoding, to.name);
    folded[t.name] = &to;
  }
  if (notes && !folded.empty())
    notes->push_back(fmt::format("{} matrices were multiplied by the factors that lie beside them ({})",
                                 folded.size(), scale_name(folded.begin()->first)));
  return fold_scales(checkpoint, [&](const Tensor& t) { return folded.contains(t.name); });
}

Result<Checkpoint> scaled_source(const Checkpoint& checkpoint, bool allow_requantize) {
  for (const Tensor& t : checkpoint.tensors)
    if (find_scale(checkpoint, t) && !t.encoding->is_float && !allow_requantize)
      return would_requantize(checkpoint, t.name, *t.encoding, "another encoding");
  return fold_scales(checkpoint);
}

}  // namespace carat
