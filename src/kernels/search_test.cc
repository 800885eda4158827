// The searches below their rounders: how errors are weighted, and that it changes nothing between instruction
// sets. src/rounders/rounders_test.cc tests what users see.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
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
                (e->block < 256 ? 0.92 : 1.0) * error_under(*e, ErrorWeight::uniform, w, uniform))
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

TEST(Search, HalfStepsAreFoundExactlyUnderAnyImportance) {
  const auto w = some_weights();
  const Encoding &from = encoding_of<Q4_1>(), &to = encoding_of<Q5_1>();
  std::vector<float> grid(w.size()), importance(kColumns);
  from.decode(rounded(from, Isa::portable, ErrorWeight::uniform, w, true).data(), grid.data(),
              static_cast<int64_t>(grid.size()));
  Random random(2);
  for (float& i : importance) i = static_cast<float>(random.uniform() * random.uniform()) + 1e-3f;
  for (const float* columns :
       {static_cast<const float*>(nullptr), static_cast<const float*>(importance.data())}) {
    std::vector<uint8_t> bytes(kRows * to.row_bytes(kColumns));
    search_table(Isa::portable)
        .search[search_position(to)]({.weights = grid.data(),
                                      .rows = kRows,
                                      .columns = kColumns,
                                      .importance = columns,
                                      .weight = ErrorWeight::uniform,
                                      .out = bytes.data()});
    EXPECT_EQ(error_under(to, ErrorWeight::uniform, grid, bytes), 0.0);
  }
}

// Every bit pattern of the halves, an odd number of them, against the definitions one at a time.
TEST(Search, DecodesAsTheEncodingsDo) {
  Random random(3);
  for (const Encoding* e : all_encodings()) {
    const int64_t n = e->is_float ? 65536 + 5 : 16 * e->block;
    std::vector<uint8_t> bytes(e->row_bytes(n));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.next());
    if (e->row_bytes(1) == 2)
      for (uint32_t h = 0; h < 65536; ++h)
        bytes[2 * h] = static_cast<uint8_t>(h), bytes[2 * h + 1] = static_cast<uint8_t>(h >> 8);
    std::vector<float> expected(static_cast<size_t>(n)), got(static_cast<size_t>(n));
    e->decode(bytes.data(), expected.data(), n);
    for (Isa isa : available_isas()) {
      search_table(isa).decode[search_position(*e)](bytes.data(), got.data(), n);
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
          << e->name << isa_name(isa);
    }
  }
}

TEST(Search, ConvertsFloatsAsDefined) {
  Random random(4);
  std::vector<float> x = {0.0f,   -0.0f,   65504.0f, 65519.0f, 65520.0f,
                          -1e38f, 3.4e38f, 6e-8f,    2.9e-8f,  3.1e-8f};
  for (int i = 0; i < 100003; ++i) x.push_back(std::bit_cast<float>(static_cast<uint32_t>(random.next())));
  const auto n = static_cast<int64_t>(x.size());
  const auto check = [&](const Encoding& e, auto convert) {
    std::vector<uint16_t> expected, got(x.size());
    for (float f : x) expected.push_back(convert(f));
    for (Isa isa : available_isas()) {
      search_table(isa).nearest[search_position(e)]({.weights = x.data(),
                                                     .rows = 1,
                                                     .columns = n,
                                                     .importance = nullptr,
                                                     .weight = ErrorWeight::uniform,
                                                     .out = reinterpret_cast<uint8_t*>(got.data())});
      EXPECT_EQ(got, expected) << e.name << isa_name(isa);
    }
  };
  check(encoding_f16(), [](float f) { return float_to_f16(f); });
  check(encoding_bf16(), [](float f) { return float_to_bf16(f); });
}

}  // namespace
}  // namespace carat
