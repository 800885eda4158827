// Transforms that look at calibration: the same function, statistics that a calibration of the result
// confirms, and what each promises of itself.
#include <algorithm>
#include <functional>
#include <numeric>

#include "base/random.h"
#include "stats/calibrate.h"
#include "stats/testing.h"
#include "transforms/overlay.h"
#include "transforms/rotation.h"
#include "transforms/testing.h"
#include "transforms/transform.h"

namespace carat {
namespace {

using testing::expect_same_function;
using testing::tiny_model;
using testing::TinyShape;
using testing::Variant;
using testing::variants;

CalibrationText random_text(int64_t vocabulary) {
  CalibrationText text = testing::random_text(8, 24, vocabulary, 11);
  text.digest = "digest";
  return text;
}

class Transforms : public ::testing::Test {
 protected:
  Context context() { return {pool_, cancellation_, progress_}; }

  CalibrationStatistics calibrated(const Checkpoint& model) {
    CalibrateOptions options;
    options.activations = ActivationScheme::float32;  // rounded weights are no longer those that were scaled
    auto calibration =
        calibrate(context(), model, random_text(read_model_config(model)->vocabulary), options);
    EXPECT_TRUE(calibration.ok()) << calibration.error().message;
    return std::move(calibration->statistics);
  }

  TransformSubject subject_of(const Checkpoint& model, std::string_view encoding = "Q4_0") {
    TransformSubject subject;
    subject.checkpoint = model;
    subject.statistics = calibrated(model);
    subject.target = [encoding](const std::string& name) {
      return name.ends_with("norm.weight") ? nullptr : find_encoding(encoding);
    };
    subject.rounder = &default_rounder();
    return subject;
  }

  TransformSubject transformed(const Transform& transform, const Checkpoint& model) {
    TransformSubject subject = subject_of(model);
    EXPECT_TRUE(transform.lay_out(subject.checkpoint).ok());
    const Status status = transform.apply(context(), {}, subject);
    EXPECT_TRUE(status.ok()) << status.error().message;
    return subject;
  }

  ThreadPool pool_{2};
  Cancellation cancellation_;
  Progress progress_;
};

/// Rows of 64 columns, which divide into blocks of 32.
TinyShape block_shape(TinyShape shape) {
  shape.width = 64;
  shape.feed_forward = 96;
  shape.head_dim = 32 / std::gcd(32, static_cast<int>(shape.heads)) * 2;
  shape.vocabulary = 40;
  return shape;
}

/// Some channels of each norm stand out, as they do in real models.
Checkpoint with_outliers(Checkpoint model, double factor = 12.0) {
  for (Tensor& t : model.tensors) {
    if (!t.name.ends_with("_norm.weight") || t.columns() != 64) continue;
    Overlay louder;
    louder.column_scale.assign(64, 1.0);
    for (size_t k = 5; k < 64; k += 17) louder.column_scale[k] = factor;
    t = with_overlay(t, louder);
  }
  return model;
}

TEST_F(Transforms, KeepTheFunctionOfEveryFamily) {
  for (const Transform* transform : all_transforms())
    for (const Variant& v : variants()) {
      SCOPED_TRACE(fmt::format("{} {}", transform->name(), v.name));
      const Checkpoint before = tiny_model(v.architecture, block_shape(v.shape));
      const TransformSubject after = transformed(*transform, before);
      expect_same_function(before, after.checkpoint);
      EXPECT_NE(*before.find("blk.1.ffn_down.weight")->read_all(),
                *after.checkpoint.find("blk.1.ffn_down.weight")->read_all());
    }
}

TEST_F(Transforms, TakeTheStatisticsAlong) {
  for (const Transform* transform : all_transforms()) {
    if (!transform->needs_statistics()) continue;
    SCOPED_TRACE(transform->name());
    const TransformSubject after =
        transformed(*transform, with_outliers(tiny_model("llama", block_shape({})), 2.0));
    const CalibrationStatistics seen = calibrated(after.checkpoint);
    ASSERT_EQ(seen.tensors.size(), after.statistics.tensors.size());
    for (const auto& [name, s] : seen.tensors) {
      const InputStatistics& said = after.statistics.tensors.at(name);
      for (size_t k = 0; k < s.sum_squares.size(); ++k) {
        ASSERT_NEAR(said.sum_squares[k], s.sum_squares[k], 5e-3 * s.sum_squares[k]) << name << " " << k;
        ASSERT_NEAR(said.maximum[k], s.maximum[k], 2e-2 * std::abs(s.maximum[k]) + 1e-4) << name << " " << k;
        ASSERT_NEAR(said.minimum[k], s.minimum[k], 2e-2 * std::abs(s.minimum[k]) + 1e-4) << name << " " << k;
      }
    }
  }
}

TEST_F(Transforms, GiveTheSameWhateverTheNumberOfThreads) {
  for (const Transform* transform : all_transforms()) {
    const Checkpoint model = with_outliers(tiny_model("llama", block_shape({})));
    const TransformSubject two = transformed(*transform, model);
    TransformSubject one = subject_of(model);
    ThreadPool alone(1);
    ASSERT_TRUE(transform->apply({alone, cancellation_, progress_}, {}, one).ok());
    for (const Tensor& t : two.checkpoint.tensors)
      EXPECT_EQ(*t.read_all(), *one.checkpoint.find(t.name)->read_all())
          << transform->name() << " " << t.name;
  }
}

TEST_F(Transforms, AwqLowersTheErrorItGoesBy) {
  const TransformSubject after =
      transformed(*find_transform("awq"), with_outliers(tiny_model("llama", block_shape({}))));
  ASSERT_EQ(after.notes.size(), 2u * 4 + 1);
  double norms_before = 0, norms_after = 0;
  for (const TransformNote& n : after.notes) {
    EXPECT_LE(n.loss_after, n.loss_before) << n.group;
    if (!n.group.ends_with("norm.weight")) continue;
    norms_before += n.loss_before;
    norms_after += n.loss_after;
  }
  EXPECT_LT(norms_after, 0.9 * norms_before);
}

/// Models that were widened, or pruned, have channels without anything in them.
TEST_F(Transforms, AwqIsNotLedAstrayByChannelsThatCarryNothing) {
  Checkpoint model = with_outliers(tiny_model("llama", block_shape({}), 7));
  const auto is_dead = [](size_t channel) { return channel % 4 == 3; };
  for (Tensor& t : model.tensors) {
    if (!t.name.ends_with("attn_norm.weight")) continue;
    Overlay silent;
    silent.column_scale.assign(64, 1.0);
    for (size_t k = 0; k < 64; ++k)
      if (is_dead(k)) silent.column_scale[k] = 0;
    t = with_overlay(t, silent);
  }
  const TransformSubject after = transformed(*find_transform("awq"), model);
  int scaled = 0;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string name = fmt::format("blk.{}.attn_q.weight", layer);
    const std::vector<float> was = model.find(name)->read_all().value();
    const std::vector<float> is = after.checkpoint.find(name)->read_all().value();
    float least = INFINITY, most = 0;
    for (size_t k = 0; k < 64; ++k) {
      const float factor = is[k] / was[k];
      if (is_dead(k)) {
        EXPECT_EQ(factor, 1.0f) << name << " " << k;
        continue;
      }
      least = std::min(least, factor);
      most = std::max(most, factor);
    }
    EXPECT_NEAR(least * most, 1.0f, 1e-4f) << name;  // around 1, the dead ones left out
    scaled += most > 1.01f;
  }
  EXPECT_GT(scaled, 0);
}

TEST_F(Transforms, AwqKnowsScalesThatRowsShare) {
  const Checkpoint model = with_outliers(tiny_model("llama", block_shape({})));
  for (const char* encoding : {"INT4_TENSOR", "INT8_CHANNEL", "FP8_TENSOR"}) {
    TransformSubject subject = subject_of(model, encoding);
    const Status applied = find_transform("awq")->apply(context(), {}, subject);
    ASSERT_TRUE(applied.ok()) << encoding << ": " << applied.error().message;
    double before = 0, after = 0;
    for (const TransformNote& n : subject.notes) before += n.loss_before, after += n.loss_after;
    EXPECT_LT(after, before) << encoding;
  }
}

TEST_F(Transforms, AwqLeavesAloneWhatWillNotBeRounded) {
  const Checkpoint model = tiny_model("llama", block_shape({}));
  TransformSubject subject = subject_of(model, "F32");
  ASSERT_TRUE(find_transform("awq")->apply(context(), {}, subject).ok());
  EXPECT_TRUE(subject.notes.empty());
  for (const Tensor& t : model.tensors)
    EXPECT_EQ(*t.read_all(), *subject.checkpoint.find(t.name)->read_all()) << t.name;
}

TEST_F(Transforms, SmoothQuantEvensOutWhatActivationsReach) {
  const Checkpoint model = with_outliers(tiny_model("llama", block_shape({})));
  const TransformSubject before = subject_of(model);
  const TransformSubject after = transformed(*find_transform("smoothquant"), model);
  const auto spread = [](const CalibrationStatistics& statistics, const std::string& name) {
    const InputStatistics& s = statistics.tensors.at(name);
    double sum = 0, most = 0;
    for (size_t k = 0; k < s.maximum.size(); ++k) {
      const double reach = std::max(std::abs(s.minimum[k]), std::abs(s.maximum[k]));
      sum += reach;
      most = std::max(most, reach);
    }
    return most * static_cast<double>(s.maximum.size()) / sum;
  };
  for (const char* name : {"blk.0.attn_q.weight", "blk.1.ffn_up.weight"})
    EXPECT_LT(spread(after.statistics, name), 0.6 * spread(before.statistics, name)) << name;
}

TEST_F(Transforms, SmoothQuantIsNotLedAstrayByChannelsThatCarryNextToNothing) {
  const Checkpoint model = with_outliers(tiny_model("llama", block_shape({})));
  TransformSubject subject = subject_of(model);
  subject.statistics.tensors.at("blk.0.ffn_down.weight").sum_squares[3] = 1e-40;
  ASSERT_TRUE(find_transform("smoothquant")->apply(context(), {}, subject).ok());
  const std::vector<float> was = *model.find("blk.0.ffn_up.weight")->read_all(),
                           is = *subject.checkpoint.find("blk.0.ffn_up.weight")->read_all();
  for (size_t i = 0; i < was.size(); ++i) ASSERT_LT(std::abs(is[i]), 1e4f * std::abs(was[i]) + 1e-6f) << i;
}

TEST_F(Transforms, RotateLeavesNoChannelStandingOut) {
  const Checkpoint model = with_outliers(tiny_model("llama", block_shape({})));
  const TransformSubject after = transformed(*find_transform("rotate"), model);
  const auto kurtosis = [](const CalibrationStatistics& statistics) {
    double squares = 0, fourth = 0;
    const std::vector<float> means = statistics.tensors.at("blk.1.ffn_up.weight").mean_squares(0);
    for (const float m : means) squares += m, fourth += double{m} * m;
    return fourth * static_cast<double>(means.size()) / (squares * squares);
  };
  EXPECT_GT(kurtosis(calibrated(model)), 5.0);
  EXPECT_LT(kurtosis(calibrated(after.checkpoint)), 2.0);
  const auto gains = after.checkpoint.find("blk.0.attn_norm.weight")->read_all();
  EXPECT_EQ(*gains, std::vector<float>(gains->size(), 1.0f));
}

TEST_F(Transforms, RotateGivesATiedModelAnOutputOfItsOwn) {
  TinyShape shape = block_shape({});
  shape.tied = true;
  const Checkpoint model = tiny_model("llama", shape);
  const TransformSubject after = transformed(*find_transform("rotate"), model);
  EXPECT_EQ(after.checkpoint.tensors.size(), model.tensors.size() + 1);
  EXPECT_NE(after.checkpoint.find("output.weight"), nullptr);
}

TEST(Rotation, IsOrthogonalAtEverySize) {
  for (const int64_t n : {1, 2, 7, 64, 96, 576}) {
    const Rotation rotation(n, 3);
    std::vector<double> rows(static_cast<size_t>(n * n), 0.0);
    for (int64_t i = 0; i < n; ++i) {
      rows[i * n + i] = 1.0;
      rotation.apply(rows.data() + i * n, 1);
    }
    for (int64_t i = 0; i < n; i += 1 + n / 9)
      for (int64_t j = 0; j < n; ++j) {
        double dot = 0;
        for (int64_t k = 0; k < n; ++k) dot += rows[i * n + k] * rows[j * n + k];
        EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, 1e-12) << n;
      }
    // Side by side as one by one.
    std::vector<double> three(static_cast<size_t>(n * 3));
    for (size_t i = 0; i < three.size(); ++i) three[i] = std::sin(static_cast<double>(i));
    std::vector<double> one(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) one[i] = three[i * 3 + 1];
    rotation.apply(three.data(), 3);
    rotation.apply(one.data(), 1);
    for (int64_t i = 0; i < n; ++i) EXPECT_DOUBLE_EQ(one[i], three[i * 3 + 1]);
  }
}

TEST_F(Transforms, PermuteSortsByEnergy) {
  const TransformSubject after =
      transformed(*find_transform("permute"), tiny_model("llama", block_shape({})));
  const std::vector<float> down = after.statistics.tensors.at("blk.0.ffn_down.weight").mean_squares(0);
  EXPECT_TRUE(std::ranges::is_sorted(down, std::greater<>()));
  const Checkpoint& c = after.checkpoint;
  const int64_t dim = read_model_config(c)->value_dim;
  // Within a head, by what all query heads of the group see.
  const std::vector<float> mixed = after.statistics.tensors.at("blk.0.attn_output.weight").mean_squares(0);
  const int64_t group = read_model_config(c)->heads / read_model_config(c)->kv_heads;
  for (int64_t first = 0; first < static_cast<int64_t>(mixed.size()); first += group * dim)
    for (int64_t d = 0; d + 1 < dim; ++d) {
      double here = 0, next = 0;
      for (int64_t h = 0; h < group; ++h) {
        here += mixed[first + h * dim + d];
        next += mixed[first + h * dim + d + 1];
      }
      EXPECT_GE(here, next * (1 - 1e-6));
    }
}

TEST_F(Transforms, StatisticsThatLackWhatIsNeededAreRefusedByName) {
  const Checkpoint model = tiny_model("llama", block_shape({}));
  for (const Transform* transform : all_transforms()) {
    if (!transform->needs_statistics()) continue;
    TransformSubject subject = subject_of(model);
    subject.statistics.tensors.erase("blk.1.ffn_down.weight");
    const Status status = transform->apply(context(), {}, subject);
    ASSERT_FALSE(status.ok()) << transform->name();
    EXPECT_EQ(status.error().code, Code::bad_data);
    EXPECT_NE(status.error().message.find("blk.1.ffn_down.weight"), std::string::npos)
        << status.error().message;
  }
  TransformSubject subject = subject_of(model);
  for (auto& [name, s] : subject.statistics.tensors) s.minimum.clear(), s.maximum.clear(), s.sum.clear();
  EXPECT_TRUE(find_transform("smoothquant")->apply(context(), {}, subject).ok());  // squares are enough
}

}  // namespace
}  // namespace carat
