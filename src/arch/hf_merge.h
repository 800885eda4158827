// What hf_forms.h takes apart and turns, put together again: for writing Hugging Face directories.
#pragma once

#include <optional>

#include "arch/family.h"
#include "containers/checkpoint.h"

namespace carat {

/// `tensor`, which is layer `layer`'s of `rule`, in Hugging Face's form; nothing where the tensor of another
/// rule brings it along, as gates do ups. Numbers are F32 where two tensors differ in their encodings or have
/// codes. Holds up to two matrices in memory while rows are read. bad_data: the other half is missing, or
/// unlike the first. The rule's form must not be one of those of families that are only read.
Result<std::optional<Tensor>> to_hf_form(const Checkpoint& checkpoint, const Family& family,
                                         const TensorRule& rule, int64_t layer, const Tensor& tensor);

}  // namespace carat
