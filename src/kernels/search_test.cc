// The searches below their rounders: how errors are weighted, and that it changes nothing between instruction
// sets. src/rounders/rounders_test.cc tests what users see.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/search_table.h"

namespace carat {
namespace {

constexpr int64_t kRows = 21, kColumns = 512;

std::vector<float> some_weights() {
  Random random(1);
  std::vector<float> w(kRows * kColumns);
  for (float& x : w) x = static_cast<float>(0.05 * random.normal() * std::exp(0.5 * random.normal()));
  return w;
}

std::vector<uint8_t> rounded(const Encoding& e, Isa isa, ErrorWeight weight, const std::vector<float>& w,
                             bool nearest = false) {
  std::vector<uint8_t> bytes(kRows * e.row_bytes(kColumns));
  const auto all = all_encodings();
  const auto position = static_cast<size_t>(std::ranges::find(all, &e) - all.begin());
  const SearchTable& table = search_table(isa);
  (nearest ? table.nearest : table.search)[position]({.weights = w.data(),
                                                      .rows = kRows,
                                                      .columns = kColumns,
                                                      .importance = nullptr,
                                                      .weight = weight,
                                                      .out = bytes.data()});
  return bytes;
}

double error_under(const Encoding& e, ErrorWeight weight, const std::vector<float>& w,
                   const std::vector<uint8_t>& bytes) {
  std::vector<float> q(w.size());
  e.decode(bytes.data(), q.data(), static_cast<int64_t>(q.size()));
  double sum = 0;
  for (size_t begin = 0; begin < w.size(); begin += static_cast<size_t>(e.block)) {
    const size_t end = begin + static_cast<size_t>(e.block);
    double square = 0;
    for (size_t i = begin; i < end; ++i) square += static_cast<double>(w[i]) * w[i];
    const double root = std::sqrt(square / e.block);
    for (size_t i = begin; i < end; ++i) {
      const double x = w[i], d = x - q[i];
      sum += d * d *
             (weight == ErrorWeight::uniform  ? 1
              : weight == ErrorWeight::square ? x * x
                                              : root + std::fabs(x));
    }
  }
  return sum;
}

TEST(Search, EachErrorWeightIsWhatItMinimises) {
  const auto w = some_weights();
  for (const Encoding* e : all_encodings()) {
    if (e->is_float) continue;
    const auto uniform = rounded(*e, Isa::portable, ErrorWeight::uniform, w);
    for (ErrorWeight weight : {ErrorWeight::magnitude, ErrorWeight::square}) {
      const auto weighted = rounded(*e, Isa::portable, weight, w);
      EXPECT_LT(error_under(*e, weight, w, weighted), error_under(*e, weight, w, uniform)) << e->name;
      // Even weights get a shorter search where encodings have one level.
      EXPECT_GT(error_under(*e, ErrorWeight::uniform, w, weighted),
                (e->leaf == e->block ? 0.92 : 1.0) * error_under(*e, ErrorWeight::uniform, w, uniform))
          << e->name;
    }
  }
}

TEST(Search, InstructionSetsAgreeUnderEachErrorWeight) {
  const auto w = some_weights();
  for (const Encoding* e : all_encodings()) {
    if (e->is_float) continue;
    for (ErrorWeight weight : {ErrorWeight::uniform, ErrorWeight::magnitude, ErrorWeight::square}) {
      const auto expected = rounded(*e, Isa::portable, weight, w);
      for (Isa isa : available_isas())
        EXPECT_EQ(rounded(*e, isa, weight, w), expected) << e->name << isa_name(isa);
    }
  }
}

// Weights that are already on an encoding's grid are found again: requantizing to the same encoding, or from
// 4 to 5 bits, costs (next to) nothing.
TEST(Search, WeightsOnTheGridStayThere) {
  const auto w = some_weights();
  const auto check = [&](const Encoding& from, const Encoding& to) {
    std::vector<float> grid(w.size());
    const auto bytes = rounded(from, Isa::portable, ErrorWeight::uniform, w, true);
    from.decode(bytes.data(), grid.data(), static_cast<int64_t>(grid.size()));
    const auto again = rounded(to, Isa::portable, ErrorWeight::uniform, grid);
    const double fresh =
        error_under(to, ErrorWeight::uniform, w, rounded(to, Isa::portable, ErrorWeight::uniform, w));
    EXPECT_LT(error_under(to, ErrorWeight::uniform, grid, again), 0.01 * fresh)
        << from.name << " to " << to.name;
  };
  check(encoding_of<Q4_0>(), encoding_of<Q4_0>());
  check(encoding_of<Q4_1>(), encoding_of<Q4_1>());
  check(encoding_of<Q4_1>(), encoding_of<Q5_1>());
  check(encoding_of<Q8_0>(), encoding_of<Q8_0>());
}

}  // namespace
}  // namespace carat
