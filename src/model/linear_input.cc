#include "model/linear_input.h"

namespace carat {

std::string_view linear_input_name(LinearInput input) {
  switch (input) {
    case LinearInput::attention:
      return "attention";
    case LinearInput::attention_output:
      return "attention_output";
    case LinearInput::feed_forward:
      return "feed_forward";
    case LinearInput::down:
      return "down";
    case LinearInput::output:
      return "output";
  }
  return "";
}

std::span<const Role> reader_roles(LinearInput input) {
  static constexpr Role attention[] = {Role::query, Role::key, Role::value};
  static constexpr Role attention_output[] = {Role::attention_output};
  static constexpr Role feed_forward[] = {Role::gate, Role::up};
  static constexpr Role down[] = {Role::down};
  static constexpr Role output[] = {Role::output};
  switch (input) {
    case LinearInput::attention:
      return attention;
    case LinearInput::attention_output:
      return attention_output;
    case LinearInput::feed_forward:
      return feed_forward;
    case LinearInput::down:
      return down;
    case LinearInput::output:
      return output;
  }
  return {};
}

std::vector<std::string> reader_names(const ModelConfig& config, LinearInput input, int64_t layer) {
  const Family* family = find_family(config.architecture);
  std::vector<std::string> names;
  for (Role role : reader_roles(input)) {
    if (role == Role::output && config.tied_embeddings) role = Role::token_embedding;
    names.push_back(family->rule(role)->gguf_name(layer));
  }
  return names;
}

int64_t input_columns(const ModelConfig& config, LinearInput input) {
  if (input == LinearInput::attention_output) return int64_t{config.heads} * config.value_dim;
  return input == LinearInput::down ? config.feed_forward : config.width;
}

}  // namespace carat
