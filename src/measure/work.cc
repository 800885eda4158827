#include "measure/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "model/forward.h"

namespace carat {
namespace {

/// Operations of one token's product with a matrix, under the peak of the instructions that serve it.
Work product(const Tensor& t, ActivationScheme scheme) {
  Work w;
  w.bytes = static_cast<double>(t.bytes());
  counted(operands(*t.encoding, scheme), w) = 2.0 * static_cast<double>(t.elements());
  return w;
}

double share(double done, double limit) { return limit > 0 ? done / limit : 0; }

}  // namespace

Work& Work::operator+=(const Work& other) {
  bytes += other.bytes;
  int8 += other.int8;
  bf16 += other.bf16;
  f32 += other.f32;
  return *this;
}

Work Work::operator*(double factor) const {
  return {bytes * factor, int8 * factor, bf16 * factor, f32 * factor};
}

double memory_share(const Work& work, const Limits& limits, double seconds) {
  return seconds > 0 ? share(work.bytes, limits.read) / seconds : 0;
}

double compute_share(const Work& work, const Limits& limits, double seconds) {
  // Processors without an instruction for it multiply floats.
  const double bf16 = limits.bf16 > 0 ? limits.bf16 : limits.f32;
  const double least = share(work.int8, limits.int8) + share(work.bf16, bf16) + share(work.f32, limits.f32);
  return seconds > 0 ? least / seconds : 0;
}

Result<ModelWork> ModelWork::of(const Checkpoint& checkpoint, ActivationScheme scheme, KvEncoding kv) {
  ModelWork w;
  CARAT_TRY(w.config_, read_model_config(checkpoint));
  const ModelConfig& c = w.config_;
  const std::string_view output = c.tied_embeddings ? "token_embd.weight" : "output.weight";
  const std::string last_layer = fmt::format("blk.{}.", c.layers - 1);
  for (const Tensor& t : checkpoint.tensors) {
    const bool matrix = t.shape.size() > 1;
    if (matrix) w.parameters_ += static_cast<double>(t.elements());
    Work one_token = product(t, scheme);
    double active = 1;
    if (matrix && t.name.find("_exps.") != std::string::npos) {
      active = static_cast<double>(c.experts.used) / c.experts.count;
      w.all_expert_bytes_ += one_token.bytes;
      one_token = one_token * active;
      one_token.bytes = 0;
    }
    if (matrix) w.active_parameters_ += active * static_cast<double>(t.elements());
    if (t.name == "token_embd.weight") w.embedding_row_ = static_cast<double>(t.row_bytes());
    if (t.name == output)
      w.output_ += one_token;
    else if (t.name.starts_with("rope_") || t.name == "token_embd.weight" || t.name == "position_embd.weight")
      continue;
    else if (matrix)
      w.layers_ += one_token;
    else
      w.layers_.bytes += 4.0 * static_cast<double>(t.elements());  // gains and biases are kept as floats
    const bool after_attention =
        t.name.find(".ffn_") != std::string::npos || t.name.ends_with("attn_output.weight");
    if (matrix && after_attention && t.name.starts_with(last_layer)) w.last_ += one_token;
  }
  w.kv_row_ = static_cast<double>(c.layers * KvFormat{kv, c.kv_heads, c.head_dim}.position_bytes());
  return w;
}

double ModelWork::visible_positions(int64_t seen) const {
  double sum = 0;
  for (int64_t l = 0; l < config_.layers; ++l) {
    const int64_t window = config_.window_of(l);
    sum += static_cast<double>(window > 0 ? std::min(seen, window) : seen);
  }
  return sum / static_cast<double>(config_.layers);
}

double ModelWork::attention_operations(int64_t position) const {
  const int64_t seen = position + 1;
  return 4.0 * static_cast<double>(config_.heads * config_.head_dim) * visible_positions(seen);
}

double ModelWork::kv_bytes(int64_t positions) const { return kv_row_ * visible_positions(positions); }

double ModelWork::expert_bytes(int64_t tokens) const {
  const ExpertConfig& e = config_.experts;
  if (e.count == 0) return 0;
  const double unread = std::pow(1.0 - static_cast<double>(e.used) / e.count, static_cast<double>(tokens));
  return all_expert_bytes_ * (1.0 - unread);
}

Work ModelWork::decode_step(int64_t batch, int64_t position) const {
  const auto n = static_cast<double>(batch);
  Work w = layers_;
  w += output_;
  w = {w.bytes, w.int8 * n, w.bf16 * n, w.f32 * n};
  w.f32 += n * static_cast<double>(config_.layers) * attention_operations(position);
  w.bytes += expert_bytes(batch) + n * (embedding_row_ + kv_bytes(position + 1));
  return w;
}

Work ModelWork::prefill(int64_t tokens, int64_t position) const {
  Work w = output_;
  for (int64_t first = 0; first < tokens; first += max_forward_tokens) {
    const int64_t count = std::min(max_forward_tokens, tokens - first);
    const auto n = static_cast<double>(count);
    // Behind the last layer's keys and values, only the last token of all is of interest.
    const int64_t skipped = first + count == tokens ? count - 1 : count;
    const auto less = static_cast<double>(skipped);
    w += {layers_.bytes, layers_.int8 * n - last_.int8 * less, layers_.bf16 * n - last_.bf16 * less,
          layers_.f32 * n - last_.f32 * less};
    if (skipped == count) w.bytes -= last_.bytes;
    for (int64_t t = 0; t < count; ++t) {
      const int64_t layers = t < skipped ? config_.layers - 1 : config_.layers;
      w.f32 += static_cast<double>(layers) * attention_operations(position + first + t);
    }
    w.bytes += expert_bytes(count) + n * embedding_row_ + kv_bytes(position + first + count);
  }
  return w;
}

}  // namespace carat
