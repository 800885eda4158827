// Factors of matrices, in tensors of their own: what a product with NAME.weight gives is multiplied by
// NAME.scale, F32 [1], or [matrices] where several are stacked (experts). llama.cpp's converter writes them
// for NVFP4, whose blocks' scales have four bits of exponent; NAME.input_scale beside it is for rounding
// activations to the same type, which carat does in its own ways, and is not looked at.
//
// A checkpoint holds them as they are. Products are multiplied where a model is run (model/products.h), so
// that matrices stay mapped; where a matrix is given another encoding, it is seen with its factors
// multiplied in.
#pragma once

#include <functional>

#include "arch/family.h"
#include "containers/checkpoint.h"

namespace carat {

/// "NAME.scale" of "NAME.weight"; empty for other names. And the inputs'.
std::string scale_name(std::string_view weight_name);
std::string input_scale_name(std::string_view weight_name);
/// Whether a name is that of a factor, or an input's, of "NAME.weight", which `weight_name` receives.
bool is_scale_name(std::string_view name, std::string& weight_name);
/// Whether matrices of this rule may have factors when a model is run.
bool may_have_scale(const TensorRule& rule);

/// The tensor that holds the factors of `weight`, or null. Tensors of the name and another shape are not
/// meant.
const Tensor* find_scale(const Checkpoint& checkpoint, const Tensor& weight);
/// One factor for each of the matrices stacked in `weight`; nothing where there are none. bad_data: one is
/// no finite number.
Result<std::vector<float>> read_scale(const Checkpoint& checkpoint, const Tensor& weight);

/// The checkpoint with the factors of all matrices, or of those that `chosen` names, multiplied into their
/// values (in F32, each product rounded once, as rows are read), and without the tensors that held them.
Result<Checkpoint> fold_scales(const Checkpoint& checkpoint,
                               const std::function<bool(const Tensor&)>& chosen = nullptr);

}  // namespace carat
