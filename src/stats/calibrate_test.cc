#include "stats/calibrate.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <numeric>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

#include "containers/mapped_file.h"
#include "model/forward.h"
#include "model/testing/random_model.h"
#include "stats/collector.h"
#include "stats/testing.h"

namespace carat {
namespace {

using testing::RandomModel;

CalibrationText random_text(int64_t sequences, int64_t length, int64_t vocabulary) {
  CalibrationText text = testing::random_text(sequences, length, vocabulary, 3);
  text.digest = fmt::format("{} x {}", sequences, length);
  return text;
}

/// Cancels itself after so many updates.
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

Result<Calibration> run(const Checkpoint& model, const CalibrationText& text, CalibrateOptions options = {},
                        int threads = 2, int stop_after = 0) {
  ThreadPool pool(threads);
  Cancellation cancellation;
  StopAfter progress(cancellation, stop_after);
  return calibrate({pool, cancellation, progress}, model, text, options);
}

class Sums final : public InputTap {
 public:
  explicit Sums(int64_t experts) : experts_(experts) {}
  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    const auto key = std::pair(place.layer, place.input);
    auto& s = squares[key];
    counts[key].resize(per_expert(place.input) ? experts_ : 1);
    counts[key][place.matrix] += static_cast<double>(tokens);
    s.resize(counts[key].size() * columns);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t c = 0; c < columns; ++c)
        s[place.matrix * columns + c] += double{x[t * columns + c]} * x[t * columns + c];
  }
  std::map<std::pair<int64_t, LinearInput>, std::vector<double>> squares, counts;

 private:
  int64_t experts_;
};

/// The same sums from forward passes over whole sequences.
Sums sums_of_forward(const Checkpoint& checkpoint, const CalibrationText& text, ActivationScheme scheme) {
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const auto weights = load_weights({pool, cancellation, progress}, checkpoint);
  EXPECT_TRUE(weights.ok());
  const ModelConfig& c = weights->config;
  Sums sums(c.experts.count);
  const Model model{*weights, **default_kernel_table(), scheme, nullptr, &sums};
  const KvFormat format{KvEncoding::f16, c.kv_heads, c.head_dim};
  for (const auto& tokens : text.sequences) {
    const int64_t n = text.context;
    std::vector<uint8_t> cache(c.layers * format.bytes(n));
    std::vector<KvView> kv;
    for (int64_t l = 0; l < c.layers; ++l)
      kv.push_back({cache.data() + l * format.bytes(n), format, Place::cpu});
    ForwardScratch scratch;
    std::vector<float> hidden(n * c.width);
    for (int64_t at = 0; at < n; at += max_forward_tokens) {
      const int64_t piece = std::min(max_forward_tokens, n - at);
      const ForwardSegment segment{std::span(tokens).subspan(at, piece), at, kv, piece};
      forward(pool, model, scratch, {&segment, 1}, hidden.data() + at * c.width);
    }
    sums.input({0, LinearInput::output}, hidden.data(), n, c.width);
  }
  return sums;
}

TEST(Calibrate, SumsWhatTheForwardPassReads) {
  for (RandomModel m : testing::model_variants()) {
    m.encoding = find_encoding("BF16");
    m.context = 1024;
    const Checkpoint checkpoint = testing::random_model(m);
    // Several sequences to a pass; several passes to a sequence.
    for (const auto& [text, scheme] :
         {std::pair{random_text(19, 40, m.vocabulary), ActivationScheme::bfloat16},
          std::pair{random_text(2, 700, m.vocabulary), ActivationScheme::float32}}) {
      CalibrateOptions options;
      options.activations = scheme;
      const auto calibration = run(checkpoint, text, options);
      ASSERT_TRUE(calibration.ok()) << calibration.error().message;
      const CalibrationStatistics& s = calibration->statistics;
      const auto config = read_model_config(checkpoint);
      ASSERT_TRUE(config.ok());
      const Sums expected = sums_of_forward(checkpoint, text, scheme);
      size_t names = 0;
      for (const auto& [key, squares] : expected.squares) {
        for (const std::string& name : reader_names(*config, key.second, key.first)) {
          ++names;
          ASSERT_EQ(s.tensors.count(name), 1u) << name;
          const InputStatistics& e = s.tensors.at(name);
          EXPECT_EQ(e.sum_squares, squares) << name;
          EXPECT_EQ(e.counts, expected.counts.at(key)) << name;
          const double used = per_expert(key.second) ? config->experts.used : 1;
          EXPECT_EQ(std::accumulate(e.counts.begin(), e.counts.end(), 0.0),
                    used * static_cast<double>(text.tokens()));
          if (e.counts[0] == 0) continue;
          for (int64_t c = 0; c < e.columns; ++c) {
            EXPECT_LE(e.minimum[c], e.maximum[c]);
            EXPECT_LE(e.sum[c], e.counts[0] * e.maximum[c] * (1 + 1e-6) + 1e-6);
            EXPECT_GE(e.sum[c], e.counts[0] * e.minimum[c] * (1 + 1e-6) - 1e-6);
          }
        }
      }
      EXPECT_EQ(s.tensors.size(), names);
      EXPECT_EQ(s.chunks, text.sequences.size());
      EXPECT_EQ(s.arithmetic, activation_scheme_name(scheme));
    }
  }
}

TEST(Calibrate, SameBitsForAnyThreadsAndResumed) {
  RandomModel m;
  m.encoding = find_encoding("BF16");
  const Checkpoint checkpoint = testing::random_model(m);
  const CalibrationText text = random_text(3 * kGroupSequences + 5, 33, m.vocabulary);
  const auto whole = run(checkpoint, text, {}, 1);
  ASSERT_TRUE(whole.ok());

  CalibrateOptions options;
  options.checkpoint_path =
      (std::filesystem::temp_directory_path() / fmt::format("carat_calibrate_{}.checkpoint", ::getpid()))
          .string();
  // An update for every pass of 512 tokens: two of a group and layer. The second group is under way.
  const auto stopped = run(checkpoint, text, options, 2, 7);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::interrupted);
  ASSERT_TRUE(file_exists(options.checkpoint_path));

  const auto in_the_way = run(checkpoint, text, options, 2);
  ASSERT_FALSE(in_the_way.ok());
  EXPECT_NE(in_the_way.error().message.find("--resume"), std::string::npos);
  options.resume = true;
  const auto of_another_text = run(checkpoint, random_text(30, 32, m.vocabulary), options, 2);
  ASSERT_FALSE(of_another_text.ok());
  EXPECT_EQ(of_another_text.error().code, Code::usage);

  CalibrationText divided = random_text(9 * kGroupSequences + 15, 11, m.vocabulary);
  divided.digest = text.digest;  // the same tokens in shorter sequences
  const auto of_shorter_sequences = run(checkpoint, divided, options, 2);
  ASSERT_FALSE(of_shorter_sequences.ok());
  EXPECT_EQ(of_shorter_sequences.error().code, Code::usage);

  const auto resumed = run(checkpoint, text, options, 3);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  EXPECT_EQ(resumed->resumed_sequences % kGroupSequences, 0);
  EXPECT_GT(resumed->resumed_sequences, 0);
  ASSERT_EQ(resumed->statistics.tensors.size(), whole->statistics.tensors.size());
  for (const auto& [name, e] : whole->statistics.tensors) {
    const InputStatistics& r = resumed->statistics.tensors.at(name);
    EXPECT_EQ(r.sum_squares, e.sum_squares) << name;
    EXPECT_EQ(r.sum, e.sum) << name;
    EXPECT_EQ(r.minimum, e.minimum) << name;
    EXPECT_EQ(r.maximum, e.maximum) << name;
    EXPECT_EQ(r.counts, e.counts) << name;
  }
  // A torn or changed checkpoint is said to be one.
  std::filesystem::resize_file(options.checkpoint_path, 500);
  const auto damaged = run(checkpoint, text, options, 2);
  ASSERT_FALSE(damaged.ok());
  EXPECT_NE(damaged.error().message.find("damaged"), std::string::npos);
  std::filesystem::remove(options.checkpoint_path);
}

/// Zeros that count how many of their rows were given back.
class CountedRows final : public TensorData {
 public:
  Status read_bytes(int64_t, int64_t count, uint8_t* out) const override {
    std::fill_n(out, count * 64, uint8_t{0});
    return {};
  }
  void release(int64_t, int64_t count) const override { released += count; }
  mutable int64_t released = 0;
};

TEST(Calibrate, TheWholeOfATensorThatIsSampledIsGivenBack) {
  const auto rows = std::make_shared<CountedRows>();
  Checkpoint c;
  c.tensors.push_back({"blk.0.attn_q.weight", {40, 16}, &encoding_f32(), rows});
  ASSERT_TRUE(stored_digest(c).ok());
  EXPECT_EQ(rows->released, 40) << "the system maps more than the row that is read";
}

TEST(Calibrate, ValuesThatAreNotFiniteNameTheMatrixThatReadsThem) {
  Checkpoint checkpoint = testing::random_model({});
  for (Tensor& t : checkpoint.tensors) {
    if (t.name != "blk.1.ffn_up.weight") continue;
    std::vector<uint8_t> bytes(t.bytes());
    ASSERT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + 17 * t.row_bytes(), &nan, sizeof nan);
    t.data = std::make_shared<testing::OwnedData>(std::move(bytes), t.row_bytes());
  }
  const auto result = run(checkpoint, random_text(2, 20, 100));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::bad_data);
  EXPECT_NE(result.error().message.find("blk.1.ffn_down.weight: column 17"), std::string::npos)
      << result.error().message;
}

TEST(Calibrate, TextsThatDoNotFitAreRefused) {
  const Checkpoint checkpoint = testing::random_model({});
  EXPECT_EQ(run(checkpoint, random_text(1, 300, 100)).error().code, Code::usage);    // trained for 256
  EXPECT_EQ(run(checkpoint, random_text(1, 20, 200)).error().code, Code::bad_data);  // 100 tokens known
  EXPECT_EQ(run(checkpoint, CalibrationText()).error().code, Code::usage);
}

}  // namespace
}  // namespace carat
