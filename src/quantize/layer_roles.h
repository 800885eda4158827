// The matrices of a model by role, as views that can be exchanged.
#pragma once

#include <map>
#include <string>

#include "arch/family.h"
#include "model/linear_input.h"
#include "model/weights.h"

namespace carat {

/// A matrix of the forward pass, or several that are stacked in one tensor.
struct MatrixPlace {
  int64_t layer = 0;  ///< 0 for embedding and output
  Role role{};
  LinearInput input{};  ///< what it reads; an untied embedding reads nothing, and says `output`
};
/// All of them, by GGUF name.
std::map<std::string, MatrixPlace> matrix_places(const ModelConfig& config);

/// The matrix there. Where the embedding is tied, `output` is another view of it.
Matrix matrix_at(const Weights& weights, const MatrixPlace& place);
/// Exchanges it; a tied embedding in both its uses.
void set_matrix(Weights& weights, const MatrixPlace& place, const Matrix& view);

}  // namespace carat
