#include "measure/work.h"

#include <algorithm>

namespace carat {
namespace {

constexpr int64_t kPassTokens = 512;  ///< tokens that the engine takes through the layers at a time

/// Operations of one token's product with a matrix, under the peak of the instructions that serve it.
Work product(const Tensor& t) {
  Work w;
  w.bytes = static_cast<double>(t.bytes());
  const double operations = 2.0 * static_cast<double>(t.elements());
  (t.encoding->is_float ? w.f32 : w.int8) = operations;
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
  const double least =
      share(work.int8, limits.int8) + share(work.bf16, limits.bf16) + share(work.f32, limits.f32);
  return seconds > 0 ? least / seconds : 0;
}

Result<ModelWork> ModelWork::of(const Checkpoint& checkpoint) {
  ModelWork w;
  CARAT_TRY(w.config_, read_model_config(checkpoint));
  const ModelConfig& c = w.config_;
  const std::string_view output = c.tied_embeddings ? "token_embd.weight" : "output.weight";
  for (const Tensor& t : checkpoint.tensors) {
    const bool matrix = t.shape.size() > 1;
    if (matrix) w.parameters_ += static_cast<double>(t.elements());
    if (t.name == "token_embd.weight") w.embedding_row_ = static_cast<double>(t.row_bytes());
    if (t.name == output)
      w.output_ += product(t);
    else if (t.name == "rope_freqs.weight" || t.name == "token_embd.weight")
      continue;
    else if (matrix)
      w.layers_ += product(t);
    else
      w.layers_.bytes += 4.0 * static_cast<double>(t.elements());  // gains and biases are kept as floats
  }
  w.kv_row_ = 2.0 * sizeof(uint16_t) * static_cast<double>(c.layers * c.kv_heads * c.head_dim);
  return w;
}

Work ModelWork::attention(int64_t tokens, int64_t position) const {
  const ModelConfig& c = config_;
  double visible = 0;  // positions seen by all tokens together
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t seen = position + t + 1;
    visible += static_cast<double>(c.sliding_window > 0 ? std::min(seen, c.sliding_window) : seen);
  }
  Work w;
  w.f32 = 4.0 * static_cast<double>(c.layers * c.heads * c.head_dim) * visible;
  // Read by the last token's pass, and what was appended is written.
  const int64_t last = position + tokens;
  const int64_t kept = c.sliding_window > 0 ? std::min(last, c.sliding_window) : last;
  w.bytes = kv_row_ * static_cast<double>(kept);
  return w;
}

Work ModelWork::decode_step(int64_t batch, int64_t position) const {
  const auto n = static_cast<double>(batch);
  Work w = layers_;
  w += output_;
  w = {w.bytes, w.int8 * n, w.bf16 * n, w.f32 * n};
  w += attention(1, position) * n;
  w.bytes += n * embedding_row_;
  return w;
}

Work ModelWork::prefill(int64_t tokens, int64_t position) const {
  Work w = output_;
  for (int64_t first = 0; first < tokens; first += kPassTokens) {
    const int64_t count = std::min(kPassTokens, tokens - first);
    const auto n = static_cast<double>(count);
    w += Work{layers_.bytes, layers_.int8 * n, layers_.bf16 * n, layers_.f32 * n};
    w += attention(count, position + first);
    w.bytes += n * embedding_row_;
  }
  return w;
}

}  // namespace carat
