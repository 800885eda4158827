// What a file of Hessians holds is sum x x^T of what the forward pass reads; files add up, and an interrupted
// run ends in the same bytes.
#include "stats/hessian_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "containers/mapped_file.h"
#include "kernels/kernel_table.h"
#include "model/forward.h"
#include "model/testing/random_model.h"
#include "stats/calibrate.h"
#include "stats/testing.h"

namespace carat {
namespace {

using testing::RandomModel;

CalibrationText text_of(const RandomModel& m, int64_t sequences, uint64_t seed) {
  CalibrationText text = testing::random_text(sequences, 40, m.vocabulary, seed);
  text.digest = fmt::format("{} of {}", sequences, seed);
  return text;
}

class StopAfter final : public Progress {
 public:
  StopAfter(Cancellation& cancellation, int updates) : cancellation_(cancellation), left_(updates) {}
  void update(uint64_t, std::string_view) override {
    if (--left_ == 0) cancellation_.request();
  }

 private:
  Cancellation& cancellation_;
  int left_;
};

class HessianFiles : public ::testing::Test {
 protected:
  HessianFiles() {
    std::string pattern = ::testing::TempDir() + "carat-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~HessianFiles() override { std::filesystem::remove_all(folder_); }

  std::string path(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }

  Status write(const Checkpoint& model, const CalibrationText& text, const std::string& to,
               HessianWriteOptions how = {}, int stop_after = 0) const {
    ThreadPool pool(2);
    Cancellation cancellation;
    StopAfter progress(cancellation, stop_after);
    CARAT_TRY(const ModelConfig config, read_model_config(model));
    CARAT_TRY(const CalibrationOrigin origin, calibration_origin(model, text, ActivationScheme::float32));
    CARAT_TRY(const auto writer, HessianWriter::create(to, config, origin, std::move(how)));
    CalibrateOptions options;
    options.activations = ActivationScheme::float32;
    options.hessians = writer.get();
    CARAT_TRY(const Calibration calibration, calibrate({pool, cancellation, progress}, model, text, options));
    return {};
  }
  HessianFile open(const std::string& file, const Checkpoint& model) const {
    auto out = HessianFile::open(file, model);
    EXPECT_TRUE(out.ok()) << out.error().message;
    return *std::move(out);
  }

 private:
  std::string folder_;
};

std::vector<float> values(const HessianFile& file, size_t place, int64_t matrix) {
  std::vector<float> out(static_cast<size_t>(file.places()[place].triangle()));
  EXPECT_TRUE(file.read(place, matrix, out.data()).ok());
  return out;
}

/// By layer, input and expert, lower triangles in double.
class Products final : public InputTap {
 public:
  void input(const InputPlace& at, const float* x, int64_t tokens, int64_t columns) override {
    auto& sum = sums[{at.layer, at.input, at.matrix}];
    counts[{at.layer, at.input, at.matrix}] += static_cast<uint64_t>(tokens);
    sum.resize(static_cast<size_t>(columns * (columns + 1) / 2));
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t i = 0, to = 0; i < columns; ++i)
        for (int64_t j = 0; j <= i; ++j, ++to) sum[to] += double{x[t * columns + i]} * x[t * columns + j];
  }
  using Key = std::tuple<int64_t, LinearInput, int64_t>;
  std::map<Key, std::vector<double>> sums;
  std::map<Key, uint64_t> counts;
};

Products products_of_forward(const Checkpoint& checkpoint, const CalibrationText& text) {
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const auto weights = load_weights({pool, cancellation, progress}, checkpoint);
  EXPECT_TRUE(weights.ok());
  const ModelConfig& c = weights->config;
  Products out;
  const Model model{*weights, **default_kernel_table(), ActivationScheme::float32, nullptr, &out};
  const KvFormat format{KvEncoding::f16, c.kv_heads, c.head_dim};
  for (const auto& tokens : text.sequences) {
    std::vector<uint8_t> cache(c.layers * format.bytes(text.context));
    std::vector<KvView> kv;
    for (int64_t l = 0; l < c.layers; ++l)
      kv.push_back({cache.data() + l * format.bytes(text.context), format, Place::cpu});
    ForwardScratch scratch;
    std::vector<float> hidden(text.context * c.width);
    const ForwardSegment segment{tokens, 0, kv, text.context};
    forward(pool, model, scratch, {&segment, 1}, hidden.data());
    out.input({0, LinearInput::output, 0}, hidden.data(), text.context, c.width);
  }
  return out;
}

TEST_F(HessianFiles, hold_the_products_of_what_matrices_read) {
  for (const RandomModel& m : testing::model_variants()) {
    const Checkpoint model = testing::random_model(m);
    const CalibrationText text = text_of(m, 7, 1);
    const Status written = write(model, text, path("h.gguf"), {{}, "", false, true});
    ASSERT_TRUE(written.ok()) << written.error().message;
    const HessianFile file = open(path("h.gguf"), model);
    const Products expected = products_of_forward(model, text);
    for (size_t p = 0; p < file.places().size(); ++p) {
      const HessianPlace& place = file.places()[p];
      for (int64_t e = 0; e < place.matrices; ++e) {
        SCOPED_TRACE(fmt::format("{} {}", place.readers.front(), e));
        const auto at = expected.sums.find({place.layer, place.input, e});
        if (at == expected.sums.end()) {  // an expert that no token was given
          EXPECT_EQ(file.tokens(p, e), 0u);
          continue;
        }
        EXPECT_EQ(file.tokens(p, e), expected.counts.at(at->first));
        const std::vector<float> is = values(file, p, e);
        ASSERT_EQ(is.size(), at->second.size());
        double error = 0, size = 0;
        for (size_t i = 0; i < is.size(); ++i) {
          error += std::pow(is[i] - at->second[i], 2);
          size += std::pow(at->second[i], 2);
        }
        EXPECT_LT(error, 1e-8 * size);
        EXPECT_GT(size, 0);
      }
    }
    std::filesystem::remove(path("h.gguf"));
  }
}

TEST_F(HessianFiles, add_up) {
  const RandomModel m;
  const Checkpoint model = testing::random_model(m);
  ASSERT_TRUE(write(model, text_of(m, 3, 1), path("a.gguf")).ok());
  ASSERT_TRUE(write(model, text_of(m, 5, 2), path("b.gguf")).ok());
  const HessianFile a = open(path("a.gguf"), model), b = open(path("b.gguf"), model);
  // While text goes through the model, and without any.
  HessianWriteOptions with_a;
  with_a.others.push_back(a);
  const Status written = write(model, text_of(m, 5, 2), path("ab.gguf"), std::move(with_a));
  ASSERT_TRUE(written.ok()) << written.error().message;
  HessianWriteOptions both;
  both.others = {a, b};
  const auto config = read_model_config(model);
  auto merging = HessianWriter::create(path("merged.gguf"), *config, {}, std::move(both));
  ASSERT_TRUE(merging.ok()) << merging.error().message;
  while ((*merging)->completed() < (*merging)->places().size()) ASSERT_TRUE((*merging)->write({}).ok());
  ASSERT_TRUE((*merging)->finish({}).ok());

  for (const char* name : {"ab.gguf", "merged.gguf"}) {
    const HessianFile sum = open(path(name), model);
    EXPECT_EQ(sum.origin().tokens(), 8u * 40u);
    EXPECT_EQ(sum.origin().text_digests.size(), 2u);
    for (size_t p = 0; p < sum.places().size(); ++p) {
      EXPECT_EQ(sum.tokens(p, 0), a.tokens(p, 0) + b.tokens(p, 0));
      const auto x = values(a, p, 0), y = values(b, p, 0), s = values(sum, p, 0);
      for (size_t i = 0; i < s.size(); ++i) ASSERT_EQ(s[i], x[i] + y[i]) << name;
    }
  }
  HessianWriteOptions twice;
  twice.others = {a, a};
  const auto refused = HessianWriter::create(path("twice.gguf"), *config, {}, std::move(twice));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("count twice"), std::string::npos) << refused.error().message;
}

TEST_F(HessianFiles, of_an_interrupted_run_are_finished_by_a_resume) {
  RandomModel m;
  m.layers = 3;
  const Checkpoint model = testing::random_model(m);
  const CalibrationText text = text_of(m, 4, 1);
  ASSERT_TRUE(write(model, text, path("whole.gguf")).ok());
  // Stopped in the second layer: what the first one read is in the file.
  const Status stopped = write(model, text, path("parts.gguf"), {}, 2);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::interrupted);
  EXPECT_FALSE(file_exists(path("parts.gguf")));
  const Status in_the_way = write(model, text, path("parts.gguf"));
  ASSERT_FALSE(in_the_way.ok());
  const Status other = write(model, text_of(m, 4, 2), path("parts.gguf"), {{}, "", true, false});
  ASSERT_FALSE(other.ok()) << "another text";
  CalibrationText divided = testing::random_text(8, 20, m.vocabulary, 1);
  divided.digest = text.digest;
  ASSERT_FALSE(write(model, divided, path("parts.gguf"), {{}, "", true, false}).ok()) << "shorter sequences";
  ASSERT_FALSE(write(model, text, path("parts.gguf"), {{}, "other weights", true, false}).ok());
  const Status resumed = write(model, text, path("parts.gguf"), {{}, "", true, false});
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  EXPECT_EQ(read_small_file(path("parts.gguf"), 1 << 28).value(),
            read_small_file(path("whole.gguf"), 1 << 28).value());
}

TEST_F(HessianFiles, of_other_models_are_refused) {
  const RandomModel m;
  const Checkpoint model = testing::random_model(m);
  ASSERT_TRUE(write(model, text_of(m, 2, 1), path("h.gguf")).ok());
  RandomModel wider = m;
  wider.feed_forward *= 2;
  const auto refused = HessianFile::open(path("h.gguf"), testing::random_model(wider));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::bad_data);
  EXPECT_NE(refused.error().message.find("another model"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("h.gguf"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace carat
