// Experts in Hugging Face directories: one tensor for each, where GGUF has one for all of a layer.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_set>

#include "arch/family.h"
#include "arch/hf_packed.h"
#include "containers/checkpoint.h"

namespace carat {

/// First layer that is a mixture, by {arch}.* of a checkpoint; `layers` where none is.
Result<int64_t> first_mixture_layer(const Metadata& metadata, const Family& family, int64_t layers);

/// The experts of `layer`, found in `source` under the rule's Hugging Face names, as one tensor [experts,
/// ...] without a name; nothing where there is not even a first. Their names go to `used`. bad_data: one is
/// unlike the first.
Result<std::optional<HfWeights>> stack_experts(const Checkpoint& source, const TensorRule& rule,
                                               int64_t layer, std::unordered_set<std::string_view>& used);
/// Expert i of a stacked tensor, without its outermost dimension.
Tensor one_expert(const Tensor& stacked, int64_t expert);

}  // namespace carat
