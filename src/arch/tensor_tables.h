// What families do to the tensors that llama-like decoders have in common (decoder_tensors()), to get their
// own.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "arch/family.h"

namespace carat {

using TensorRules = std::vector<TensorRule>;

void drop(TensorRules& rules, std::initializer_list<Role> roles);
/// Gives the tensor another name in Hugging Face checkpoints.
void rename_in_hf(TensorRules& rules, Role role, std::string_view name);
/// At the end of a layer's tensors.
void add_to_layers(TensorRules& rules, std::initializer_list<TensorRule> more);
/// Norms of what attention and feed-forward give.
void add_post_norms(TensorRules& rules, std::string_view hf_attention, std::string_view hf_feed_forward);
/// Gate and up become one tensor, under the name of the latter in GGUF.
void fuse_gate_and_up(TensorRules& rules, std::string_view hf_name);

}  // namespace carat
