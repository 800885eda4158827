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
    case LinearInput::experts:
      return "experts";
    case LinearInput::experts_down:
      return "experts_down";
    case LinearInput::query_latent:
      return "query_latent";
    case LinearInput::latent:
      return "latent";
    case LinearInput::key_heads:
      return "key_heads";
    case LinearInput::value_heads:
      return "value_heads";
    case LinearInput::output:
      return "output";
  }
  return "";
}

std::span<const Role> reader_roles(LinearInput input) {
  static constexpr Role attention[] = {Role::query,           Role::key,          Role::value,
                                       Role::query_key_value, Role::query_latent, Role::key_value_latent};
  static constexpr Role query_latent[] = {Role::query_expansion};
  static constexpr Role latent[] = {Role::key_value_expansion};
  static constexpr Role key_heads[] = {Role::key_expansion};
  static constexpr Role value_heads[] = {Role::value_expansion};
  static constexpr Role attention_output[] = {Role::attention_output};
  static constexpr Role feed_forward[] = {Role::gate, Role::up, Role::gate_up, Role::shared_gate,
                                          Role::shared_up};
  static constexpr Role down[] = {Role::down, Role::shared_down};
  static constexpr Role experts[] = {Role::gate_experts, Role::up_experts};
  static constexpr Role experts_down[] = {Role::down_experts};
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
    case LinearInput::experts:
      return experts;
    case LinearInput::experts_down:
      return experts_down;
    case LinearInput::query_latent:
      return query_latent;
    case LinearInput::latent:
      return latent;
    case LinearInput::key_heads:
      return key_heads;
    case LinearInput::value_heads:
      return value_heads;
    case LinearInput::output:
      return output;
  }
  return {};
}

int64_t input_matrices(const ModelConfig& config, LinearInput input) {
  if (per_expert(input)) return config.experts.count;
  return per_head(input) ? config.heads : 1;
}

std::vector<std::string> reader_names(const ModelConfig& config, LinearInput input, int64_t layer) {
  const Family* family = find_family(config.architecture);
  std::vector<std::string> names;
  for (Role role : reader_roles(input)) {
    if (role == Role::output && config.tied_embeddings) role = Role::token_embedding;
    const TensorRule* rule = family->rule(role);
    if (rule && may_have(config, *rule, layer)) names.push_back(rule->gguf_name(layer));
  }
  return names;
}

int64_t input_columns(const ModelConfig& config, LinearInput input, int64_t layer) {
  if (input == LinearInput::attention_output) return config.mixed_width();
  if (input == LinearInput::query_latent) return config.latent.query_rank;
  if (input == LinearInput::latent || input == LinearInput::value_heads) return config.latent.rank;
  if (input == LinearInput::key_heads) return config.latent.plain;
  if (input == LinearInput::experts_down) return config.experts.feed_forward;
  if (input != LinearInput::down) return config.width;
  return config.is_mixture(layer) ? config.experts.shared_feed_forward : config.feed_forward;
}

}  // namespace carat
