// Grouped encodings: every kind, with groups of each sort.
#include "encodings/grouped.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "encodings/grouped_testing.h"

namespace carat {
namespace {

template <class E>
struct Grouped : ::testing::Test {};
template <class... E>
::testing::Types<E...> as_types(EncodingList<E...>);
struct Name {
  template <class E>
  static std::string GetName(int) {
    return std::string(E::kName);
  }
};
TYPED_TEST_SUITE(Grouped, decltype(as_types(GroupedKinds{})), Name);

TYPED_TEST(Grouped, AnyBytesSurviveUnpackAndPack) {
  using E = TypeParam;
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    typename E::Block block, back;
    for (size_t j = 0; j < sizeof block; ++j)
      reinterpret_cast<uint8_t*>(&block)[j] = static_cast<uint8_t>(random.next());
    std::memset(&back, 0xa5, sizeof back);
    typename E::Codes codes;
    codes.fill(0xa5);
    E::unpack(block, codes.data());
    for (uint8_t c : codes) ASSERT_LT(c, E::kCodes);
    E::pack(codes.data(), back);
    ASSERT_EQ(std::memcmp(&block, &back, sizeof block), 0) << i;
  }
}

TYPED_TEST(Grouped, AnyCodesSurvivePackAndUnpack) {
  using E = TypeParam;
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    typename E::Codes codes, back;
    for (uint8_t& c : codes) c = static_cast<uint8_t>(random.next() % E::kCodes);
    typename E::Block block;
    E::pack(codes.data(), block);
    E::unpack(block, back.data());
    ASSERT_EQ(codes, back);
  }
}

/// OCP's definition of an E4M3 value.
double e4m3_by_definition(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code & 0x80 ? -size : size;
}

/// A value by its definition, in double, rounded where float32 rounds.
template <class E>
float by_definition(int code, float scale, float zero) {
  if constexpr (requires { E::kBits; })
    return static_cast<float>(static_cast<double>(scale) *
                              (E::kZeroPoint ? code - static_cast<double>(zero) : code - E::kCodes / 2));
  else if constexpr (std::is_same_v<E, FP8>)
    return static_cast<float>(static_cast<double>(scale) * e4m3_by_definition(code));
  else
    return static_cast<float>(static_cast<double>(scale) * static_cast<double>(kNf4Levels[code]));
}

TYPED_TEST(Grouped, DecodesByItsDefinitionWholeAndInParts) {
  using E = TypeParam;
  Random random(3);
  for (const Encoding* e : testing::encodings_of_kind<E>())
    for (const int64_t columns : {384, 1152}) {
      std::vector<uint8_t> bytes;
      const testing::GroupedRow row = testing::random_row<E>(*e, columns, random, bytes);
      const GroupShape shape = group_shape(*e, columns);
      std::vector<float> scale(static_cast<size_t>(shape.groups)), zero(scale.size());
      E::read_parameters(bytes.data(), shape.groups, 0, shape.groups, scale.data(), zero.data());
      for (size_t g = 0; g < scale.size(); ++g) {
        if (!std::is_same_v<E, NF4>) {
          ASSERT_EQ(scale[g], row.scale[g]) << e->name;
        }
        ASSERT_EQ(zero[g], row.zero[g]) << e->name;
      }
      std::vector<float> got(static_cast<size_t>(columns)), part(got.size());
      e->decode(bytes.data(), got.data(), columns);
      for (size_t j = 0; j < got.size(); ++j) {
        const size_t g = j / static_cast<size_t>(shape.width);
        const float expected = by_definition<E>(row.code[j], scale[g], zero[g]);
        ASSERT_EQ(std::bit_cast<uint32_t>(got[j]), std::bit_cast<uint32_t>(expected))
            << e->name << " column " << j << ": " << got[j] << " " << expected;
      }
      for (int64_t first = 0; first < columns; first += 96)
        e->decode_part(*e, bytes.data(), columns, first, 96, part.data() + first);
      EXPECT_EQ(part, got) << e->name;
    }
}

TYPED_TEST(Grouped, SizesAreWhatTheLayoutSays) {
  using E = TypeParam;
  for (const Encoding* e : testing::encodings_of_kind<E>()) {
    const int64_t columns = 1152, groups = e->group == kWhole ? 1 : columns / e->group;
    const auto expected =
        static_cast<uint64_t>(columns / 32 * int64_t{sizeof(typename E::Block)} + groups * E::kGroupBytes) +
        (std::is_same_v<E, NF4> ? 8 : 0);
    EXPECT_EQ(e->row_bytes(columns), expected) << e->name;
    EXPECT_EQ(e->checked_bytes(5, columns), 5 * expected) << e->name;
    EXPECT_EQ(e->checked_bytes(5, columns + 16), std::nullopt) << e->name;
    EXPECT_EQ(e->checked_bytes(uint64_t{1} << 60, 384), std::nullopt) << e->name;
    for (const uint64_t vast : {(uint64_t{1} << 63) / 384 * 384, ~uint64_t{0} / 384 * 384})
      EXPECT_EQ(e->checked_bytes(1000, vast), std::nullopt) << e->name;
    EXPECT_FALSE(e->fits(0));
  }
}

TYPED_TEST(Grouped, NamesAndTypesLeadToTheSameEncoding) {
  using E = TypeParam;
  const auto list = testing::encodings_of_kind<E>();
  EXPECT_GE(list.size(), E::kGrouping == Grouping::any ? 7u : E::kGrouping == Grouping::tiles ? 3u : 1u);
  std::set<const Encoding*> different;
  for (const Encoding* e : list) {
    EXPECT_TRUE(different.insert(e).second) << e->name;
    EXPECT_EQ(find_encoding(e->name), e);
    EXPECT_EQ(find_ggml_type(e->ggml_type), e);
    EXPECT_EQ(e->ggml_type >> 24, 0xCAu);
    EXPECT_EQ(e->kind, kind_of<E>());
    EXPECT_TRUE(e->can_decode());
    std::string lower(e->name);
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(find_encoding(lower), e);
  }
}

TEST(GroupedEncoding, TypeNumbersAreForGood) {
  const auto number = [](const char* name) { return find_encoding(name)->ggml_type; };
  EXPECT_EQ(number("INT2_G32"), 0xCA010020u);
  EXPECT_EQ(number("INT3_G64"), 0xCA020040u);
  EXPECT_EQ(number("INT4_G128"), 0xCA030080u);
  EXPECT_EQ(number("INT8_CHANNEL"), 0xCA040000u);
  EXPECT_EQ(number("INT2_ASYM_G64"), 0xCA050040u);
  EXPECT_EQ(number("INT3_ASYM_G128"), 0xCA060080u);
  EXPECT_EQ(number("INT4_ASYM_G128"), 0xCA070080u);
  EXPECT_EQ(number("INT8_ASYM_TENSOR"), 0xCA080001u);
  EXPECT_EQ(number("FP8_BLOCK128"), 0xCA100080u);
  EXPECT_EQ(number("FP8_TENSOR"), 0xCA100001u);
  EXPECT_EQ(number("NF4"), 0xCA110040u);
}

TEST(GroupedEncoding, WhatDoesNotExistIsNotFound) {
  for (const char* name : {"INT4",
                           "INT4_",
                           "INT4_G",
                           "INT4_G0",
                           "INT4_G16",
                           "INT4_G33",
                           "INT4_G0128",
                           "INT4_G-128",
                           "INT4_G+128",
                           "INT4_G128 ",
                           "INT4_G128_",
                           "INT4_G65536",
                           "INT4_G99999999999999999999",
                           "INT4_BLOCK128",
                           "INT4_ASYMG128",
                           "INT5_G128",
                           "FP8",
                           "FP8_G128",
                           "FP8_BLOCK64",
                           "NF4_G64",
                           "NF4_CHANNEL",
                           "_CHANNEL"})
    EXPECT_EQ(find_encoding(name), nullptr) << name;
  EXPECT_NE(find_encoding("INT4_G65504"), nullptr);
  for (const uint32_t id : {0xCA000080u, 0xCA090080u, 0xCA030002u, 0xCA030010u, 0xCA030081u, 0xCA03ffffu,
                            0xCA100040u, 0xCA110000u, 0xCA110001u, 0xCA110080u, 0xCAff0080u, 0xCB030080u})
    EXPECT_EQ(find_ggml_type(id), nullptr) << std::hex << id;
}

TEST(GroupedEncoding, BitsPerWeightLeaveOutWhatRowsShare) {
  EXPECT_DOUBLE_EQ(find_encoding("INT4_G128")->bits_per_weight(), 4.125);
  EXPECT_DOUBLE_EQ(find_encoding("INT4_ASYM_G128")->bits_per_weight(), 4.1875);
  EXPECT_DOUBLE_EQ(find_encoding("INT3_G64")->bits_per_weight(), 3.25);
  EXPECT_DOUBLE_EQ(find_encoding("INT8_CHANNEL")->bits_per_weight(), 8);
  EXPECT_DOUBLE_EQ(find_encoding("FP8_BLOCK128")->bits_per_weight(), 8.25);
  EXPECT_DOUBLE_EQ(find_encoding("NF4")->bits_per_weight(), 4.125 + 64.0 / 16384);
}

TEST(GroupedEncoding, E4M3HasNaNsAndEveryOtherValue) {
  for (int code = 0; code < 256; ++code) {
    const float got = FP8::e4m3(code);
    if ((code & 0x7f) == 0x7f)
      EXPECT_TRUE(std::isnan(got)) << code;
    else
      EXPECT_EQ(static_cast<double>(got), e4m3_by_definition(code)) << code;
    EXPECT_EQ(std::signbit(got), code >= 128) << code;
  }
}

TEST(GroupedEncoding, TheDynamicMapIsAscendingAndSymmetric) {
  EXPECT_EQ(kDynamicMap[127], 0.0f);
  EXPECT_EQ(kDynamicMap[255], 1.0f);
  for (size_t i = 1; i < 256; ++i) EXPECT_LT(kDynamicMap[i - 1], kDynamicMap[i]);
  for (size_t i = 1; i < 128; ++i) EXPECT_EQ(kDynamicMap[127 - i], -kDynamicMap[127 + i]);
}

// Each scale becomes the nearest of what its row's mean and range allow; rows whose scales are all alike keep
// them exactly.
TEST(GroupedEncoding, ScalesOfNf4AreStoredToTheNearestCode) {
  Random random(5);
  for (const int64_t groups : {1, 12, 256, 257, 700}) {
    std::vector<float> scale, zero(static_cast<size_t>(groups)), back(zero.size());
    for (int64_t g = 0; g < groups; ++g)
      scale.push_back(static_cast<float>(0.02 * std::exp(0.4 * random.normal())));
    std::vector<uint8_t> row(static_cast<size_t>(8 * ((groups + 255) / 256) + groups));
    NF4::write_parameters(scale.data(), nullptr, groups, row.data());
    NF4::read_parameters(row.data(), groups, 0, groups, back.data(), zero.data());
    for (int64_t first = 0; first < groups; first += 256) {
      float mean_and_range[2];
      std::memcpy(mean_and_range, row.data() + first / 256 * 8, 8);
      for (int64_t g = first; g < std::min(groups, first + 256); ++g) {
        const auto i = static_cast<size_t>(g);
        double nearest = INFINITY;
        for (float level : kDynamicMap)
          nearest = std::min(nearest, std::fabs(static_cast<double>(level) * mean_and_range[1] +
                                                mean_and_range[0] - scale[i]));
        EXPECT_NEAR(std::fabs(static_cast<double>(back[i]) - scale[i]), nearest, 1e-8) << g;
      }
    }
    std::fill(scale.begin(), scale.end(), 0.125f);
    NF4::write_parameters(scale.data(), nullptr, groups, row.data());
    NF4::read_parameters(row.data(), groups, 0, groups, back.data(), zero.data());
    EXPECT_EQ(back, scale);
  }
}

}  // namespace
}  // namespace carat
