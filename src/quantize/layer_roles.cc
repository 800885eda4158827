#include "quantize/layer_roles.h"

namespace carat {

std::map<std::string, MatrixPlace> matrix_places(const ModelConfig& config) {
  const Family& family = *find_family(config.architecture);
  std::map<std::string, MatrixPlace> places;
  for (const LinearInput input : layer_inputs)
    for (const Role role : reader_roles(input)) {
      const TensorRule* rule = family.rule(role);
      for (int64_t l = 0; rule && l < config.layers; ++l)
        if (may_have(config, *rule, l)) places[rule->gguf_name(l)] = {l, role, input};
    }
  places[family.rule(Role::token_embedding)->gguf_name(0)] = {0, Role::token_embedding, LinearInput::output};
  if (!config.tied_embeddings)
    places[family.rule(Role::output)->gguf_name(0)] = {0, Role::output, LinearInput::output};
  return places;
}

Matrix matrix_at(const Weights& weights, const MatrixPlace& place) {
  if (place.role == Role::token_embedding) return weights.embedding;
  if (place.role == Role::output) return weights.output;
  return matrix_of(weights.layers[static_cast<size_t>(place.layer)], place.role);
}

void set_matrix(Weights& weights, const MatrixPlace& place, const Matrix& view) {
  if (place.role == Role::token_embedding)
    weights.embedding = view;
  else if (place.role != Role::output)
    set_matrix(weights.layers[static_cast<size_t>(place.layer)], place.role, view);
  if (place.role == Role::output || (place.role == Role::token_embedding && weights.config.tied_embeddings))
    weights.output = view;
}

}  // namespace carat
