// Promise: quantizing streams, so its memory does not grow with the model. With 600 MB of weights in --full
// only.
#include <cstdlib>

#include "quantize/provenance.h"
#include "quantize/testing.h"

namespace carat {
namespace {

using namespace testing;

/// The same megabyte of random F16 over and over.
class RepeatedRows final : public TensorData {
 public:
  explicit RepeatedRows(uint64_t row_bytes) : row_bytes_(row_bytes), pattern_(1 << 20) {
    Random random(5);
    for (size_t i = 0; i + 1 < pattern_.size(); i += 2) {
      const uint16_t h = float_to_f16(static_cast<float>(0.02 * random.normal()));
      std::memcpy(&pattern_[i], &h, 2);
    }
  }
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const uint64_t begin = static_cast<uint64_t>(first) * row_bytes_;
    const uint64_t bytes = static_cast<uint64_t>(count) * row_bytes_;
    for (uint64_t i = 0; i < bytes; i += 2) std::memcpy(out + i, &pattern_[(begin + i) % pattern_.size()], 2);
    return {};
  }

 private:
  uint64_t row_bytes_;
  std::vector<uint8_t> pattern_;
};

/// Zeros that say they are mapped, and count how many of their rows were given back.
class CountedRows final : public TensorData {
 public:
  explicit CountedRows(size_t bytes) : bytes_(bytes) {}
  Status read_bytes(int64_t, int64_t, uint8_t*) const override {
    return error(Code::internal, "what is mapped was copied");
  }
  Bytes mapped() const override { return bytes_; }
  void release(int64_t, int64_t count) const override { released += count; }
  mutable int64_t released = 0;

 private:
  std::vector<uint8_t> bytes_;
};

TEST(Memory, TheWholeOfATensorThatIsSampledIsGivenBack) {
  const auto rows = std::make_shared<CountedRows>(40 * 64);
  Checkpoint c;
  c.tensors.push_back({"blk.0.attn_q.weight", {40, 16}, &encoding_f32(), rows});
  ASSERT_TRUE(source_fingerprint(c).ok());
  EXPECT_EQ(rows->released, 40) << "the system maps more than what is read";
}

void write_large_model(const std::string& path) {
  constexpr int64_t kRows = 24'000, kColumns = 4096;
  Metadata metadata;
  metadata.set("general.architecture", Value::string("llama"));
  std::vector<PlannedTensor> plan;
  for (int i = 0; i < 3; ++i)
    plan.push_back({fmt::format("blk.{}.ffn_up.weight", i), {kRows, kColumns}, &encoding_f16()});
  auto writer =
      create_gguf(path, metadata, plan, {.fingerprint = "test", .resume = false, .discard_partial = true});
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const RepeatedRows rows(2 * kColumns);
  std::vector<uint8_t> slab(1000 * 2 * kColumns);
  for (size_t t = 0; t < plan.size(); ++t) {
    for (int64_t r = 0; r < kRows; r += 1000) {
      ASSERT_TRUE(rows.read_bytes(r, 1000, slab.data()).ok());
      ASSERT_TRUE((*writer)->write(slab).ok());
    }
    ASSERT_TRUE((*writer)->finish_tensor("").ok());
  }
  ASSERT_TRUE((*writer)->finish().ok());
}

TEST(Memory, StaysUnder256MegabytesForALargeModel) {
  if (!std::getenv("CARAT_FULL")) GTEST_SKIP() << "writes 600 MB; set CARAT_FULL=1";
  Folder folder;
  write_large_model(folder / "large.gguf");
  for (const char* recipe : {"Q4_0", "F32"}) {
    const auto model = read_gguf(folder / "large.gguf");
    ASSERT_TRUE(model.ok()) << model.error().message;
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak so far becomes the present size
    const uint64_t before = peak_rss_bytes();
    if (before == 0) GTEST_SKIP() << "this system does not say how much memory a process uses";
    Runner runner;
    QuantizeOptions options = options_for(recipe);
    options.method = "nearest";
    const auto report = quantize(runner.context(), *model, folder / "out.gguf", options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    RecordProperty(recipe, std::to_string(peak_rss_bytes() - before));
    EXPECT_LT(peak_rss_bytes() - before, uint64_t{256} << 20) << recipe;
  }
}

}  // namespace
}  // namespace carat
