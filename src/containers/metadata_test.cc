#include "containers/metadata.h"

#include <gtest/gtest.h>

#include <limits>

#include "containers/quote.h"

namespace carat {
namespace {

Metadata sample() {
  Metadata m;
  m.set("u", Value::u32(7));
  m.set("i", Value::i32(-3));
  m.set("big", Value::u64(std::numeric_limits<uint64_t>::max()));
  m.set("f", Value::f32(0.5f));
  m.set("b", Value::boolean(true));
  m.set("s", Value::string("text"));
  m.set("ss", Value::strings({"a", "b"}));
  m.set("is", Value::i32s({1, -2}));
  m.set("fs", Value::f32s({1.5f}));
  return m;
}

TEST(Metadata, gives_values_of_the_right_type) {
  const Metadata m = sample();
  EXPECT_EQ(*m.unsigned_at("u"), 7u);
  EXPECT_EQ(*m.signed_at("u"), 7);
  EXPECT_EQ(*m.signed_at("i"), -3);
  EXPECT_EQ(*m.number_at("i"), -3.0);
  EXPECT_EQ(*m.number_at("f"), 0.5);
  EXPECT_TRUE(*m.bool_at("b"));
  EXPECT_EQ(**m.string_at("s"), "text");
  EXPECT_EQ((*m.strings_at("ss"))->size(), 2u);
  EXPECT_EQ(*m.integers_at("is"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(*m.floats_at("fs"), std::vector<float>{1.5f});
}

TEST(Metadata, names_key_expected_and_found_type) {
  const Metadata m = sample();
  EXPECT_EQ(m.unsigned_at("s").error().message, "metadata key \"s\" must be an integer but is string");
  EXPECT_EQ(m.string_at("u").error().message, "metadata key \"u\" must be a string but is u32");
  EXPECT_EQ(m.bool_at("u").error().message, "metadata key \"u\" must be a bool but is u32");
  EXPECT_EQ(m.strings_at("is").error().message,
            "metadata key \"is\" must be an array of string but is an array of i32");
  EXPECT_EQ(m.integers_at("fs").error().message,
            "metadata key \"fs\" must be an array of integers but is an array of f32");
  EXPECT_EQ(m.floats_at("is").error().message,
            "metadata key \"is\" must be an array of floats but is an array of i32");
  EXPECT_EQ(m.number_at("b").error().message, "metadata key \"b\" must be a number but is bool");
  EXPECT_EQ(m.unsigned_at("none").error().message, "metadata key \"none\" is missing");
  EXPECT_EQ(m.unsigned_at("i").error().message, "metadata key \"i\" must not be negative but is -3");
  EXPECT_FALSE(m.signed_at("big").ok());
  for (const auto code : {m.unsigned_at("s").error().code, m.unsigned_at("none").error().code}) {
    EXPECT_EQ(code, Code::bad_data);
  }
}

TEST(Metadata, defaults_stand_in_for_absent_keys_only) {
  const Metadata m = sample();
  EXPECT_EQ(*m.unsigned_or("none", 5), 5u);
  EXPECT_EQ(*m.unsigned_or("u", 5), 7u);
  EXPECT_EQ(*m.string_or("none", "x"), "x");
  EXPECT_EQ(*m.number_or("none", 2.5), 2.5);
  EXPECT_TRUE(*m.bool_or("none", true));
  EXPECT_FALSE(m.unsigned_or("s", 5).ok());
  EXPECT_FALSE(m.string_or("u", "x").ok());
}

TEST(Metadata, keeps_order_through_set_and_erase) {
  Metadata m = sample();
  m.set("i", Value::i32(9));
  EXPECT_EQ(m.entries()[1].first, "i");
  m.erase("u");
  EXPECT_EQ(m.entries().front().first, "i");
  EXPECT_EQ(*m.signed_at("i"), 9);
  EXPECT_EQ(**m.string_at("s"), "text");
  EXPECT_FALSE(m.has("u"));
  m.erase("u");
  EXPECT_EQ(m.entries().size(), 8u);
}

TEST(Quote, makes_any_text_fit_to_print) {
  EXPECT_EQ(quote("a\"b\\\n"), "\"a\\\"b\\\\\\x0a\"");
  EXPECT_LT(quote(std::string(100000, 'x')).size(), 200u);
}

}  // namespace
}  // namespace carat
