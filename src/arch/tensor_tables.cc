#include "arch/tensor_tables.h"

#include <algorithm>

namespace carat {

void drop(TensorRules& rules, std::initializer_list<Role> roles) {
  std::erase_if(rules, [&](const TensorRule& r) { return std::ranges::count(roles, r.role) > 0; });
}

void rename_in_hf(TensorRules& rules, Role role, std::string_view name) {
  for (TensorRule& r : rules)
    if (r.role == role) r.hf = name;
}

void add_to_layers(TensorRules& rules, std::initializer_list<TensorRule> more) {
  const auto last = std::find_if(rules.rbegin(), rules.rend(), [](const auto& r) { return r.per_layer(); });
  rules.insert(last.base(), more);
}

void add_post_norms(TensorRules& rules, std::string_view hf_attention, std::string_view hf_feed_forward) {
  add_to_layers(
      rules, {{Role::post_attention_norm, "blk.{}.post_attention_norm.weight", hf_attention, {Dim::width}},
              {Role::post_feed_forward_norm, "blk.{}.post_ffw_norm.weight", hf_feed_forward, {Dim::width}}});
}

void fuse_gate_and_up(TensorRules& rules, std::string_view hf_name) {
  drop(rules, {Role::gate, Role::up});
  add_to_layers(rules, {{Role::gate_up, "blk.{}.ffn_up.weight", hf_name, {Dim::gates_and_ups, Dim::width}}});
}

}  // namespace carat
