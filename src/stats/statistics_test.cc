#include "stats/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "containers/gguf.h"
#include "model/testing/random_model.h"
#include "stats/statistics_file.h"

namespace carat {
namespace {

namespace fs = std::filesystem;

class StatisticsFile : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / fmt::format("carat_stats_{}", ::getpid());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string path(std::string_view name) const { return (directory_ / name).string(); }
  std::string write(std::string_view name, std::string_view bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

 private:
  fs::path directory_;
};

InputStatistics entry(int64_t columns, int64_t matrices, double seed) {
  InputStatistics s;
  s.columns = columns;
  s.matrices = matrices;
  for (int64_t m = 0; m < matrices; ++m) s.counts.push_back(100 + static_cast<double>(m));
  for (int64_t i = 0; i < matrices * columns; ++i) {
    const double v = seed + static_cast<double>(i);
    s.sum_squares.push_back(v * v);
    s.sum.push_back(i % 2 ? v : -v);
    s.minimum.push_back(static_cast<float>(-v));
    s.maximum.push_back(static_cast<float>(v / 2));
  }
  return s;
}

CalibrationStatistics example() {
  CalibrationStatistics s;
  s.tensors["blk.0.ffn_down_exps.weight"] = entry(4, 3, 1);
  s.tensors["blk.0.attn_q.weight"] = entry(5, 1, 2);
  s.datasets = {"a.txt", "b.txt"};
  s.text_digests = {"0123"};
  s.chunks = 7;
  s.chunk_tokens = 64;
  s.model = "abcd";
  s.arithmetic = "float32";
  return s;
}

void expect_equal(const InputStatistics& a, const InputStatistics& b) {
  EXPECT_EQ(a.columns, b.columns);
  EXPECT_EQ(a.matrices, b.matrices);
  EXPECT_EQ(a.counts, b.counts);
  EXPECT_EQ(a.sum_squares, b.sum_squares);
  EXPECT_EQ(a.sum, b.sum);
  EXPECT_EQ(a.minimum, b.minimum);
  EXPECT_EQ(a.maximum, b.maximum);
}

TEST_F(StatisticsFile, GgufKeepsEverything) {
  const CalibrationStatistics s = example();
  ASSERT_TRUE(write_statistics(path("a.gguf"), s, StatisticsFormat::gguf).ok());
  const auto back = read_statistics(path("a.gguf"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back->tensors.size(), s.tensors.size());
  for (const auto& [name, e] : s.tensors) expect_equal(back->tensors.at(name), e);
  EXPECT_EQ(back->datasets, s.datasets);
  EXPECT_EQ(back->text_digests, s.text_digests);
  EXPECT_EQ(back->chunks, 7u);
  EXPECT_EQ(back->chunk_tokens, 64u);
  EXPECT_EQ(back->model, "abcd");
  EXPECT_EQ(back->arithmetic, "float32");
  EXPECT_FALSE(fs::exists(path("a.gguf.partial")));
}

TEST_F(StatisticsFile, AnExpertThatSawNothingHasNoRange) {
  CalibrationStatistics s = example();
  InputStatistics& experts = s.tensors["blk.0.ffn_down_exps.weight"];
  experts.counts[1] = 0;
  for (int i = 4; i < 8; ++i) experts.minimum[i] = INFINITY, experts.maximum[i] = -INFINITY;
  const Status written = write_statistics(path("a.gguf"), s, StatisticsFormat::gguf);
  ASSERT_TRUE(written.ok()) << written.error().message;
  auto back = read_statistics(path("a.gguf"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  // Merged, it has the range of the one that saw something.
  CalibrationStatistics other = example();
  other.text_digests = {"another"};
  ASSERT_TRUE(merge_statistics("b", other, *back).ok());
  const InputStatistics& sum = back->tensors.at("blk.0.ffn_down_exps.weight");
  const InputStatistics& seen = other.tensors.at("blk.0.ffn_down_exps.weight");
  for (int i = 4; i < 8; ++i) {
    EXPECT_EQ(sum.minimum[i], seen.minimum[i]);
    EXPECT_EQ(sum.maximum[i], seen.maximum[i]);
  }
}

TEST_F(StatisticsFile, TheOlderFormKeepsMeanSquares) {
  CalibrationStatistics s = example();
  s.tensors["blk.0.ffn_down_exps.weight"].counts[1] = 0;
  ASSERT_TRUE(write_statistics(path("a.dat"), s, StatisticsFormat::dat).ok());
  auto back = read_statistics(path("a.dat"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  const auto& q = back->tensors.at("blk.0.attn_q.weight");
  const auto expected = s.tensors.at("blk.0.attn_q.weight").mean_squares(0);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(q.mean_squares(0)[i], expected[i], 1e-6 * expected[i]);
  // Experts lie in one row there, those that saw nothing as ones.
  const auto& experts = back->tensors.at("blk.0.ffn_down_exps.weight");
  EXPECT_EQ(experts.columns, 12);
  for (int i = 4; i < 8; ++i) EXPECT_FLOAT_EQ(experts.mean_squares(0)[i], 1);
  EXPECT_EQ(back->chunks, 7u);
  EXPECT_EQ(back->datasets, std::vector<std::string>{"b.txt"});

  // A model's shape tells them apart again.
  Checkpoint model;
  model.source = "model";
  model.tensors.push_back({"blk.0.ffn_down_exps.weight", {3, 6, 4}, &encoding_f32(), nullptr});
  model.tensors.push_back({"blk.0.attn_q.weight", {8, 5}, &encoding_f32(), nullptr});
  ASSERT_TRUE(model.reindex().ok());
  ASSERT_TRUE(fit_statistics(model, "a.dat", *back).ok());
  const auto& divided = back->tensors.at("blk.0.ffn_down_exps.weight");
  EXPECT_EQ(divided.matrices, 3);
  const auto mean = s.tensors.at("blk.0.ffn_down_exps.weight").mean_squares(2);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(divided.mean_squares(2)[i], mean[i], 1e-6 * mean[i]);
}

TEST_F(StatisticsFile, DamagedFilesAreErrorsWhateverIsCutOrChanged) {
  ASSERT_TRUE(write_statistics(path("a.dat"), example(), StatisticsFormat::dat).ok());
  ASSERT_TRUE(write_statistics(path("a.gguf"), example(), StatisticsFormat::gguf).ok());
  for (const char* name : {"a.dat", "a.gguf"}) {
    std::ifstream in(path(name), std::ios::binary);
    const std::string whole{std::istreambuf_iterator<char>(in), {}};
    size_t read = 0;
    for (size_t size = whole.size() % 2; size < whole.size(); size += size + 64 < whole.size() ? 3 : 1)
      read += read_statistics(write("cut", std::string_view(whole).substr(0, size))).ok();
    // The older form may end after its entries or after the number of chunks, GGUF before the last padding.
    EXPECT_LE(read, name == std::string("a.dat") ? 2u : 31u) << name;
    for (size_t at = 0; at < whole.size(); at += 3) {
      for (const char change : {'\xff', '\0'}) {
        std::string changed = whole;
        changed[at] = change;
        (void)read_statistics(write("changed", changed));  // an error or not, but an end
      }
    }
  }
}

TEST_F(StatisticsFile, NumbersThatCannotBeAreRefused) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0f}) {
    Metadata m;
    m.set("general.type", Value::string("imatrix"));
    const std::vector<PlannedTensor> plan = {{"w.counts", {1, 1}, &encoding_f32()},
                                             {"w.in_sum2", {1, 2}, &encoding_f32()}};
    auto writer = create_gguf(path("bad.gguf"), m, plan, {});
    ASSERT_TRUE(writer.ok());
    for (const std::vector<float>& values : {std::vector<float>{3}, std::vector<float>{1, bad}}) {
      ASSERT_TRUE(
          (*writer)->write(Bytes(reinterpret_cast<const uint8_t*>(values.data()), 4 * values.size())).ok());
      ASSERT_TRUE((*writer)->finish_tensor("").ok());
    }
    ASSERT_TRUE((*writer)->finish().ok());
    const auto read = read_statistics(path("bad.gguf"));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, Code::bad_data);
    EXPECT_NE(read.error().message.find("w.in_sum2"), std::string::npos) << read.error().message;
  }
  CalibrationStatistics large = example();
  large.tensors["blk.0.attn_q.weight"].sum_squares[0] = 1e39;
  for (const auto format : {StatisticsFormat::gguf, StatisticsFormat::dat}) {
    if (format == StatisticsFormat::dat) large.tensors["blk.0.attn_q.weight"].sum_squares[0] = 1e45;
    const Status written = write_statistics(path("large"), large, format);
    ASSERT_FALSE(written.ok());
    EXPECT_NE(written.error().message.find("blk.0.attn_q.weight"), std::string::npos);
    EXPECT_FALSE(fs::exists(path("large")));
  }
}

TEST_F(StatisticsFile, OtherFilesAreNotStatistics) {
  const auto text = read_statistics(write("text", "Once upon a time there was a file of no importance."));
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, Code::bad_data);
  const auto model = read_statistics(CARAT_SOURCE_DIR "/golden/stories260K.gguf");
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("not statistics"), std::string::npos) << model.error().message;
  EXPECT_EQ(read_statistics(path("missing")).error().code, Code::no_input);
}

TEST(Statistics, MergedAreAsIfOneHadSeenBoth) {
  CalibrationStatistics a = example(), b = example();
  b.text_digests = {"4567"};
  b.tensors["blk.0.attn_q.weight"] = entry(5, 1, 10);
  b.tensors["blk.0.ffn_down_exps.weight"].counts[0] = 0;
  b.tensors["blk.0.ffn_down_exps.weight"].minimum[0] = -1000;  // of nothing: must not count
  b.tensors["blk.1.attn_q.weight"] = entry(5, 1, 3);
  const CalibrationStatistics before = a;
  ASSERT_TRUE(merge_statistics("b", b, a).ok());
  const auto& q = a.tensors.at("blk.0.attn_q.weight");
  EXPECT_EQ(q.counts[0], 200);
  EXPECT_EQ(q.sum_squares[1], 3.0 * 3 + 11 * 11);
  EXPECT_EQ(q.sum[0], -2.0 - 10);
  EXPECT_EQ(q.minimum[0], -10);
  EXPECT_EQ(q.maximum[4], 7);
  EXPECT_EQ(a.tensors.at("blk.0.ffn_down_exps.weight").minimum[0],
            before.tensors.at("blk.0.ffn_down_exps.weight").minimum[0]);
  EXPECT_EQ(a.tensors.count("blk.1.attn_q.weight"), 1u);
  EXPECT_EQ(a.chunks, 14u);
  EXPECT_EQ(a.datasets.size(), 4u);

  const Status twice = merge_statistics("b", b, a);
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().code, Code::usage);
  CalibrationStatistics other = example();
  other.text_digests.clear();
  other.model = "another";
  EXPECT_EQ(merge_statistics("c", other, a).error().code, Code::bad_data);
  other.model.clear();
  other.tensors["blk.0.attn_q.weight"] = entry(6, 1, 1);
  EXPECT_NE(merge_statistics("c", other, a).error().message.find("blk.0.attn_q.weight"), std::string::npos);
  // llama.cpp's own files have neither sums nor ranges.
  CalibrationStatistics bare = example();
  bare.text_digests.clear();
  for (auto& [name, s] : bare.tensors) s.sum.clear(), s.minimum.clear(), s.maximum.clear();
  ASSERT_TRUE(merge_statistics("d", bare, a).ok());
  EXPECT_TRUE(a.tensors.at("blk.0.attn_q.weight").sum.empty());
  EXPECT_TRUE(a.tensors.at("blk.0.attn_q.weight").minimum.empty());
  EXPECT_EQ(a.tensors.at("blk.0.attn_q.weight").counts[0], 300);
}

TEST(Statistics, AnIdentityKnowsAModelWhateverItsMatricesAreStoredAs) {
  testing::RandomModel m;
  const auto identity = [](const Checkpoint& c) {
    const auto id = model_identity(c);
    EXPECT_TRUE(id.ok());
    return *id;
  };
  const std::string as_floats = identity(testing::random_model(m));
  m.encoding = find_encoding("Q8_0");
  EXPECT_EQ(identity(testing::random_model(m)), as_floats);
  Checkpoint reordered = testing::random_model(m);
  std::reverse(reordered.tensors.begin(), reordered.tensors.end());
  EXPECT_EQ(identity(reordered), as_floats);
  // Factors of matrices say how those are stored; one of a norm's name is none.
  Checkpoint scaled = testing::random_model(m);
  const Tensor factor = *scaled.find("blk.0.attn_norm.weight");
  for (const char* name : {"blk.0.attn_q.scale", "blk.0.attn_q.input_scale"}) {
    scaled.tensors.push_back(factor);
    scaled.tensors.back().name = name;
  }
  ASSERT_TRUE(scaled.reindex().ok());
  EXPECT_EQ(identity(scaled), as_floats);
  scaled.tensors.back().name = "blk.0.attn_norm.scale";
  ASSERT_TRUE(scaled.reindex().ok());
  EXPECT_NE(identity(scaled), as_floats);
  m.seed = 2;  // other weights of the same shapes
  EXPECT_NE(identity(testing::random_model(m)), as_floats);
}

TEST(Statistics, OfAnotherModelAreRefused) {
  const Checkpoint model = testing::random_model({});
  CalibrationStatistics s;
  s.tensors["blk.0.attn_q.weight"] = entry(64, 1, 1);
  EXPECT_TRUE(fit_statistics(model, "s", s).ok());
  s.model = "of another";
  EXPECT_EQ(fit_statistics(model, "s", s).error().code, Code::bad_data);
  s.model.clear();
  s.tensors["blk.7.attn_q.weight"] = entry(64, 1, 1);
  EXPECT_NE(fit_statistics(model, "s", s).error().message.find("blk.7.attn_q.weight"), std::string::npos);
  s.tensors.erase("blk.7.attn_q.weight");
  s.tensors["blk.0.attn_k.weight"] = entry(128, 1, 1);
  EXPECT_NE(fit_statistics(model, "s", s).error().message.find("blk.0.attn_k.weight"), std::string::npos);
}

}  // namespace
}  // namespace carat
