#include "evaluate/memory_plan.h"

#include <algorithm>

#include "arch/model_config.h"
#include "model/forward.h"

namespace carat {
namespace {

/// Floats of ForwardScratch and of the hidden states, for each token of a pass.
int64_t floats_per_token(const ModelConfig& c) {
  const int64_t heads = int64_t{c.heads} * c.head_dim, kv_heads = int64_t{c.kv_heads} * c.head_dim;
  const ExpertConfig& e = c.experts;
  const int64_t widest = std::max({c.feed_forward, e.feed_forward, e.shared_feed_forward});
  const int64_t mixtures = e.count > 0 ? 3 * c.width + e.count + 3 * int64_t{e.used} : 0;
  const LatentConfig& m = c.latent;
  const int64_t latent = m.rank == 0 ? 0
                                     : m.query_rank + 2 * (m.rank + c.rotary_dim) + heads +
                                           c.heads * (2 * m.plain + c.rotary_dim + m.value);
  return latent + 3 * c.width + 2 * heads + 2 * kv_heads + 2 * widest + mixtures + c.rotary_dim;
}

}  // namespace

MemoryPlan& MemoryPlan::operator+=(const MemoryPlan& other) {
  weights_bytes += other.weights_bytes;
  keys_and_values_bytes += other.keys_and_values_bytes;
  work_space_bytes += other.work_space_bytes;
  return *this;
}

json::object MemoryPlan::to_json() const {
  return {{"weights_bytes", weights_bytes},
          {"keys_and_values_bytes", keys_and_values_bytes},
          {"work_space_bytes", work_space_bytes},
          {"total_bytes", total_bytes()},
          {"sequences", sequences}};
}

Result<MemoryPlan> plan_memory(const Engine& engine, int64_t sequences, int64_t kv_bytes) {
  CARAT_TRY(const ModelConfig config, read_model_config(engine.checkpoint()));
  MemoryPlan plan;
  for (const Tensor& tensor : engine.checkpoint().tensors)
    plan.weights_bytes += static_cast<int64_t>(tensor.bytes());
  const int64_t each = engine.kv_bytes(engine.context_length());
  plan.sequences =
      std::clamp<int64_t>(kv_bytes / std::max<int64_t>(each, 1), 1, std::min(sequences, max_forward_tokens));
  plan.keys_and_values_bytes = plan.sequences * each;
  const int64_t floats = max_forward_tokens * floats_per_token(config) +
                         logit_slab_rows(engine.vocabulary()) * engine.vocabulary();
  plan.work_space_bytes = floats * static_cast<int64_t>(sizeof(float));
  return plan;
}

}  // namespace carat
