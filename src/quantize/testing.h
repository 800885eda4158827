// What the tests of quantize/ share: models in memory and on disk, a folder that goes away, a context.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/half.h"
#include "base/random.h"
#include "containers/gguf.h"
#include "quantize/quantize.h"

namespace carat::testing {

/// Bytes in memory as a tensor's rows; without mapped(), so that readers take the copying way.
class MemoryRows final : public TensorData {
 public:
  MemoryRows(std::vector<uint8_t> bytes, uint64_t row_bytes)
      : bytes_(std::move(bytes)), row_bytes_(row_bytes) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::memcpy(out, bytes_.data() + static_cast<uint64_t>(first) * row_bytes_,
                static_cast<uint64_t>(count) * row_bytes_);
    return {};
  }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t row_bytes_;
};

inline Tensor tensor_of(std::string name, std::vector<int64_t> shape, const std::vector<float>& values,
                        const Encoding& e = encoding_f32()) {
  std::vector<uint8_t> bytes;
  for (const float v : values) {
    const uint16_t half = &e == &encoding_f16() ? float_to_f16(v) : float_to_bf16(v);
    const auto* p =
        e.block_bytes == 4 ? reinterpret_cast<const uint8_t*>(&v) : reinterpret_cast<const uint8_t*>(&half);
    bytes.insert(bytes.end(), p, p + e.block_bytes);
  }
  const uint64_t row_bytes = e.row_bytes(shape.back());
  return {std::move(name), std::move(shape), &e, std::make_shared<MemoryRows>(std::move(bytes), row_bytes)};
}

inline Tensor random_tensor(std::string name, std::vector<int64_t> shape, uint64_t seed,
                            const Encoding& e = encoding_f32()) {
  Random random(seed);
  size_t n = 1;
  for (const int64_t d : shape) n *= static_cast<size_t>(d);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(0.02 * random.normal());
  return tensor_of(std::move(name), std::move(shape), values, e);
}

/// A llama of two layers whose rows have `columns` columns and whose embedding has `vocabulary` rows.
inline Checkpoint small_model(int64_t columns = 256, int64_t vocabulary = 64,
                              const Encoding& e = encoding_bf16()) {
  Checkpoint c;
  c.source = "small";
  c.container = "gguf";
  c.metadata.set("general.architecture", Value::string("llama"));
  c.metadata.set("general.name", Value::string("small"));
  c.metadata.set("llama.block_count", Value::u32(2));
  c.metadata.set("llama.attention.head_count", Value::u32(4));
  c.metadata.set("llama.attention.head_count_kv", Value::u32(2));
  c.metadata.set("my.own.key", Value::strings({"kept", "as it is"}));
  uint64_t seed = 1;
  c.tensors.push_back(random_tensor("token_embd.weight", {vocabulary, columns}, seed++, e));
  for (int layer = 0; layer < 2; ++layer) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    c.tensors.push_back(random_tensor(name("attn_norm"), {columns}, seed++));
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
      c.tensors.push_back(random_tensor(name(part), {32, columns}, seed++, e));
  }
  c.tensors.push_back(random_tensor("output_norm.weight", {columns}, seed++));
  c.tensors.push_back(random_tensor("output.weight", {vocabulary, columns}, seed++, e));
  for (const Tensor& t : c.tensors) c.file_bytes += t.bytes();
  EXPECT_TRUE(c.reindex().ok());
  return c;
}

class Folder {
 public:
  Folder() {
    std::string pattern = ::testing::TempDir() + "carat-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

 private:
  std::string path_;
};

inline std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A pool and a context; `on_update` is told of every slab.
struct Runner : Progress {
  explicit Runner(int threads = 2) : pool(threads) {}
  void update(uint64_t done, std::string_view) override {
    if (on_update) on_update(done);
  }
  Context context() { return {pool, cancellation, *this}; }

  ThreadPool pool;
  Cancellation cancellation;
  std::function<void(uint64_t)> on_update;
};

inline QuantizeOptions options_for(std::string_view recipe) {
  QuantizeOptions o;
  o.recipe = named_recipe(recipe).value();
  return o;
}

/// Writes a checkpoint as it is.
inline void write_gguf(const Checkpoint& c, const std::string& path) {
  std::vector<PlannedTensor> plan;
  for (const Tensor& t : c.tensors) plan.push_back({t.name, t.shape, t.encoding});
  auto writer =
      create_gguf(path, c.metadata, plan, {.fingerprint = "test", .resume = false, .discard_partial = true});
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  std::vector<uint8_t> bytes;
  for (const Tensor& t : c.tensors) {
    bytes.resize(t.bytes());
    ASSERT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
    ASSERT_TRUE((*writer)->write(bytes).ok());
    ASSERT_TRUE((*writer)->finish_tensor("").ok());
  }
  const Status finished = (*writer)->finish();
  ASSERT_TRUE(finished.ok()) << finished.error().message;
}

}  // namespace carat::testing
