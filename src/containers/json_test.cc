#include "containers/json.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <random>

#include "containers/test_files.h"

namespace carat {
namespace {

constexpr size_t kAllowance = 64 << 20;  // beyond what the file takes, for whatever comes of it

TEST(Json, a_tree_of_many_tiny_values_is_refused_before_it_grows) {
  for (const std::string_view item : {"[],", "{},", "1,", "\"\","}) {
    std::string text = "[";
    while (text.size() < (12u << 20)) text += item;
    text.back() = ']';
    testing::reset_allocated_peak();
    const size_t before = testing::allocated_now();
    const auto tree = parse_json(text);
    EXPECT_LE(testing::allocated_peak() - before, kAllowance) << item;
    ASSERT_FALSE(tree.ok()) << item;
    EXPECT_EQ(tree.error().code, Code::bad_data);
    EXPECT_NE(tree.error().message.find("too many values"), std::string::npos) << tree.error().message;
  }
}

/// 128,000 tokens and 280,000 merges, as in the tokenizer.json of the largest families carat reads.
TEST(Json, a_large_tokenizer_fits) {
  std::string text = R"({"model": {"vocab": {)";
  for (int i = 0; i < 128'000; ++i) text += fmt::format("{}\"tok{:x}\": {}", i ? ", " : "", i, i);
  text += R"(}, "merges": [)";
  for (int i = 0; i < 280'000; ++i) text += fmt::format("{}[\"le{:x}\", \"ri{:x}\"]", i ? ", " : "", i, i);
  text += "]}}";
  auto tree = parse_json(text);
  ASSERT_TRUE(tree.ok()) << tree.error().message;
  EXPECT_EQ(json_array(json_find(*json_find(*tree, "model"), "merges"))->size(), 280'000u);
}

/// Shortest texts of doubles come back bit by bit, and so do texts longer than a double needs.
TEST(Json, numbers_are_read_exactly) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    double x = std::bit_cast<double>(random());
    if (i % 2 == 0) x = std::generate_canonical<double, 53>(random);
    if (!std::isfinite(x)) continue;
    const auto read = parse_json(json::serialize(json::value(x)));
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->to_number<double>(), x) << fmt::format("{}", x);
  }
  const auto odd = parse_json("[0.1000000000000000055511151231257827, -1e400, 1e-400, 18446744073709551616]");
  ASSERT_TRUE(odd.ok()) << odd.error().message;
  EXPECT_EQ(odd->as_array()[0].as_double(), 0.1);
  EXPECT_EQ(odd->as_array()[1].as_double(), -HUGE_VAL);
  EXPECT_EQ(odd->as_array()[2].as_double(), 0);
  EXPECT_EQ(odd->as_array()[3].as_double(), 18446744073709551616.0);
}

TEST(Json, a_tree_once_read_may_grow) {
  auto tree = parse_json("[]");
  ASSERT_TRUE(tree.ok());
  for (int i = 0; i < 40; ++i) tree->as_array().emplace_back(json::string(1 << 20, 'x'));
  EXPECT_EQ(tree->as_array().size(), 40u);
}

}  // namespace
}  // namespace carat
