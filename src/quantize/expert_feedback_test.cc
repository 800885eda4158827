// What rounding the experts' matrices goes by: of few tokens no more than they can tell, and the same whether
// it is kept or made again.
#include "quantize/expert_feedback.h"

#include <algorithm>
#include <cmath>

#include "quantize/mixture_testing.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

using namespace testing;

/// [tokens, columns]; neighbours have `common` of their variance in common.
std::vector<float> related_rows(int64_t tokens, int64_t columns, double common, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(tokens * columns));
  for (int64_t t = 0; t < tokens; ++t) {
    double shared = 0;
    for (int64_t c = 0; c < columns; ++c) {
      if (c % 4 == 0) shared = random.normal();
      x[static_cast<size_t>(t * columns + c)] =
          static_cast<float>(std::sqrt(common) * shared + std::sqrt(1 - common) * random.normal());
    }
  }
  return x;
}

TEST(NoiseShare, IsAllWithoutRelationsAndLittleWithMany) {
  Runner runner;
  constexpr int64_t columns = 64;
  const auto share = [&](int64_t tokens, double common) {
    return noise_share(runner.pool, hessian_of(related_rows(tokens, columns, common, 7), columns), columns,
                       tokens);
  };
  EXPECT_GT(share(200, 0), 0.9);
  EXPECT_GT(share(10, 0.8), 0.6);
  // Squares of correlations: 3 of 63 others with 0.64, and 1 / tokens of chance for each.
  EXPECT_NEAR(share(2000, 0.8), 63.0 / 2000 / (3 * 0.64 + 63.0 / 2000), 0.01);
  EXPECT_NEAR(share(1, 0.8), 1, 1e-5);
  // Columns that nothing is read of do not count.
  std::vector<float> h(64 * 64);
  h[0] = 3;
  EXPECT_EQ(noise_share(runner.pool, h, 64, 5), 1);
}

TEST(ExpertFeedback, FewTokensDoNoHarm) {
  // Under the Hessian of many others, what was rounded with few tokens' loses no more than without any.
  Runner runner;
  const KernelTable& kernels = **default_kernel_table();
  constexpr int64_t columns = 256, rows = 64;
  const Encoding& q4 = *find_encoding("Q4_0");
  const std::vector<float> weights = related_rows(rows, columns, 0, 3);
  const std::vector<float> truth = hessian_of(related_rows(8192, columns, 0.5, 11), columns);
  const auto loss = [&](std::span<const float> hessian, double shrink) {
    FeedbackOptions how;
    how.shrink = shrink;
    const auto factor = prepare_feedback(runner.context(), kernels, hessian, columns, how);
    EXPECT_TRUE(factor.ok());
    std::vector<uint8_t> out(static_cast<size_t>(rows) * q4.row_bytes(columns));
    EXPECT_TRUE(
        find_rounder("gptq")
            ->round(runner.context(), kernels, q4,
                    {&encoding_f32(), reinterpret_cast<const uint8_t*>(weights.data()), rows, columns},
                    {.feedback = &*factor}, out.data())
            .ok());
    std::vector<float> rounded(weights.size());
    q4.decode(out.data(), rounded.data(), rows * columns);
    return feedback_loss(runner.context(), kernels, truth, columns, weights, rounded).value();
  };
  const double without = loss(truth, 1);
  for (const int64_t tokens : {8, 32, 128}) {
    const std::vector<float> h = hessian_of(related_rows(tokens, columns, 0.5, 5), columns);
    const double share = noise_share(runner.pool, h, columns, tokens);
    EXPECT_LT(loss(h, std::max(0.4, share)), 1.05 * without) << tokens;
    EXPECT_LT(loss(h, std::max(0.4, share)), loss(h, 0.4)) << tokens;
  }
}

TEST(ExpertFeedback, IsTheSameWhetherFactorsAreKeptOrMadeAgain) {
  Runner runner;
  const CalibrationText with = mixture_text();
  const Checkpoint source = mixture_model("qwen3moe");
  const Weights weights = load_weights(runner.context(), source).value();
  const KernelTable& kernels = **default_kernel_table();
  const Model m{weights, kernels, ActivationScheme::float32};
  const std::vector<float> x = states_after(source, with, 1, ActivationScheme::float32);
  ExpertFeedback keeps(kernels, {}), forgets(kernels, {}, 0), keeps_one(kernels, {}, 12000);
  const Encoding& q4 = *find_encoding("Q4_0");
  std::vector<std::vector<float>> slices;
  for (ExpertFeedback* f : {&keeps, &forgets, &keeps_one}) {
    ASSERT_TRUE(f->enter(runner.context(), m, weights.layers[1], 1, x).ok());
    int64_t tokens = 0;
    for (int again = 0; again < 2; ++again)
      for (const LinearInput input : {LinearInput::experts, LinearInput::experts_down})
        for (int64_t e = 0; e < kMixtureExperts; ++e) {
          const auto matrix = f->matrix(runner.context(), m, weights.layers[1], input, e, q4);
          ASSERT_TRUE(matrix.ok()) << matrix.error().message;
          if (again == 0 && input == LinearInput::experts) tokens += (*matrix)->tokens;
          slices.push_back((*matrix)->factor.slices);
        }
    EXPECT_EQ(tokens, 2 * with.tokens());
  }
  const size_t each = slices.size() / 3;
  for (size_t i = 0; i < each; ++i) {
    EXPECT_EQ(slices[i], slices[i + each]) << i;
    EXPECT_EQ(slices[i], slices[i + 2 * each]) << i;
    EXPECT_EQ(slices[i], slices[(i + each / 2) % each]) << i;
    EXPECT_NE(slices[i], slices[(i + 1) % each]) << i;
  }
}

}  // namespace
}  // namespace carat
