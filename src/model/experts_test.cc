// Which experts are chosen, and with what weight; layers of them are compared with their definition in
// forward_test.cc and families_test.cc.
#include "model/experts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace carat {
namespace {

struct Chosen {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Chosen routed(const ExpertConfig& e, const std::vector<float>& logits,
              const std::vector<float>& correction = {}) {
  Chosen out{std::vector<int32_t>(static_cast<size_t>(e.used)),
             std::vector<float>(static_cast<size_t>(e.used))};
  RoutingScratch scratch;
  route(e, logits.data(), correction.empty() ? nullptr : correction.data(), out.experts.data(),
        out.weights.data(), scratch);
  return out;
}

TEST(Route, SoftmaxOfAllOrOfTheChosen) {
  ExpertConfig e;
  e.count = 4;
  e.used = 2;
  const std::vector<float> logits = {1.0f, 3.0f, -2.0f, 2.0f};
  const double total = std::exp(1.0) + std::exp(3.0) + std::exp(-2.0) + std::exp(2.0);
  Chosen c = routed(e, logits);
  EXPECT_EQ(c.experts, (std::vector<int32_t>{1, 3}));  // in the order of their numbers
  EXPECT_FLOAT_EQ(c.weights[0], static_cast<float>(std::exp(3.0) / total));
  EXPECT_FLOAT_EQ(c.weights[1], static_cast<float>(std::exp(2.0) / total));

  e.normalised = true;
  e.scale = 2.5f;
  c = routed(e, logits);
  EXPECT_FLOAT_EQ(c.weights[0], static_cast<float>(2.5 / (1 + std::exp(-1.0))));
  EXPECT_FLOAT_EQ(c.weights[0] + c.weights[1], 2.5f);

  e.normalised = false;
  e.scale = 1;
  e.routing = Routing::softmax_of_chosen;
  c = routed(e, logits);
  EXPECT_FLOAT_EQ(c.weights[1], static_cast<float>(1 / (1 + std::exp(1.0))));
}

TEST(Route, OfEqualScoresTheSmallerNumber) {
  ExpertConfig e;
  e.count = 5;
  e.used = 2;
  EXPECT_EQ(routed(e, {0, 1, 1, 1, 0}).experts, (std::vector<int32_t>{1, 2}));
  e.used = 5;
  EXPECT_EQ(routed(e, {0, 1, 1, 1, 0}).experts, (std::vector<int32_t>{0, 1, 2, 3, 4}));
}

TEST(Route, CorrectionsChooseAndDoNotWeigh) {
  ExpertConfig e;
  e.count = 3;
  e.used = 1;
  e.routing = Routing::sigmoid;
  const Chosen c = routed(e, {2, 0, 1}, {0, 5, 0});
  EXPECT_EQ(c.experts, std::vector<int32_t>{1});
  EXPECT_FLOAT_EQ(c.weights[0], 0.5f);
}

TEST(Route, OnlyExpertsOfTheBestGroups) {
  ExpertConfig e;
  e.count = 6;
  e.used = 2;
  e.groups = 3;
  e.groups_used = 1;
  e.routing = Routing::sigmoid;
  // The best expert of all is in the first group, the best pair in the last.
  EXPECT_EQ(routed(e, {3, -9, 0, 0, 2, 2}).experts, (std::vector<int32_t>{4, 5}));
  e.groups_used = 2;
  EXPECT_EQ(routed(e, {3, -9, 0, 0, 2, 2}).experts, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(routed(e, {3, 1, 0, 0, 2, 2}).experts, (std::vector<int32_t>{0, 4}));
}

TEST(Route, WhatIsNoNumberStaysWithinBounds) {
  ExpertConfig e;
  e.count = 4;
  e.used = 3;
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& logits : {std::vector<float>{nan, nan, nan, nan},
                                           {0, nan, 1, infinity},
                                           {-infinity, -infinity, -infinity, -infinity}})
    for (const auto routing : {Routing::softmax, Routing::sigmoid, Routing::softmax_of_chosen}) {
      e.routing = routing;
      const Chosen c = routed(e, logits);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_GE(c.experts[i], 0);
        EXPECT_LT(c.experts[i], 4);
        EXPECT_TRUE(i == 0 || c.experts[i] > c.experts[i - 1]);
      }
    }
}

}  // namespace
}  // namespace carat
