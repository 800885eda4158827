#include "encodings/encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <vector>

#include "base/random.h"
#include "encodings/all.h"
#include "encodings/codebook_testing.h"
#include "encodings/storage_only.h"

namespace carat {
namespace {

std::vector<uint8_t> read_golden(std::string_view name) {
  std::ifstream f(std::string(CARAT_SOURCE_DIR) + "/golden/encodings/" + std::string(name) + ".bin",
                  std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}

/// Random planes, every member within its range.
template <class E>
typename E::Planes random_planes(Random& random) {
  const auto below = [&](int n) { return static_cast<int>(random.next() % static_cast<uint64_t>(n)); };
  typename E::Planes p;
  if constexpr (!E::kOwnScales) p.d = static_cast<uint16_t>(below(0x7c00) | below(2) << 15);
  if constexpr (E::kOffset != Offset::none) p.m = static_cast<uint16_t>(below(0x7c00) | below(2) << 15);
  if constexpr (E::kTwoLevel)
    for (auto& s : p.scale) s = static_cast<int8_t>(E::kScaleLow + below(E::kScaleHigh - E::kScaleLow + 1));
  if constexpr (E::kOffset == Offset::subtracted)
    for (auto& t : p.min) t = static_cast<uint8_t>(below(E::kMinHigh + 1));
  if constexpr (E::kAtom > 1) {
    randomise_atoms<E>(p, below);
  } else {
    for (auto& o : p.own) o = static_cast<uint8_t>(below(256));
    for (auto& c : p.code) c = static_cast<uint8_t>(below(E::kCodes));
  }
  return p;
}

template <class E>
struct BlockEncoding : testing::Test {};
template <class E>
struct ScalarEncoding : testing::Test {};

/// Of a list, the encodings with codes; `kAtoms`: also those whose codes belong to several columns.
template <bool kAtoms, class... Kept>
testing::Types<Kept...> coded(EncodingList<>, Kept...);
template <bool kAtoms, class First, class... Rest, class... Kept>
auto coded(EncodingList<First, Rest...>, Kept... kept) {
  constexpr bool kTaken = [] {
    if constexpr (First::kFloat)
      return false;
    else
      return kAtoms || First::kAtom == 1;
  }();
  if constexpr (kTaken)
    return coded<kAtoms>(EncodingList<Rest...>{}, kept..., First{});
  else
    return coded<kAtoms>(EncodingList<Rest...>{}, kept...);
}
using ScalarEncodings = decltype(coded<false>(AllEncodings{}));
using BlockEncodings = decltype(coded<true>(AllEncodings{}));
struct Name {
  template <class E>
  static std::string GetName(int) {
    return std::string(E::kName);
  }
};
TYPED_TEST_SUITE(BlockEncoding, BlockEncodings, Name);
TYPED_TEST_SUITE(ScalarEncoding, ScalarEncodings, Name);

TYPED_TEST(BlockEncoding, AnyBytesSurviveUnpackAndPack) {
  using E = TypeParam;
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    typename E::Block block, back;
    for (size_t j = 0; j < sizeof block; ++j)
      reinterpret_cast<uint8_t*>(&block)[j] = static_cast<uint8_t>(random.next());
    std::memset(&back, 0xa5, sizeof back);
    typename E::Planes planes;
    E::unpack(block, planes);
    if constexpr (E::kAtom == 1) {
      for (uint8_t c : planes.code) ASSERT_LT(c, E::kCodes);
    }
    E::pack(planes, back);
    if constexpr (std::is_same_v<E, TQ1_0>) {  // 256 patterns of a byte stand for 243 fives of digits
      typename E::Planes again;
      E::unpack(back, again);
      ASSERT_TRUE(again == planes) << i;
      continue;
    }
    ASSERT_EQ(std::memcmp(&block, &back, sizeof block), 0) << i;
  }
}

TYPED_TEST(BlockEncoding, AnyPlanesSurvivePackAndUnpack) {
  using E = TypeParam;
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    const auto planes = random_planes<E>(random);
    typename E::Block block;
    E::pack(planes, block);
    auto back = random_planes<E>(random);  // unpack must overwrite everything
    E::unpack(block, back);
    ASSERT_TRUE(planes == back) << i;
  }
}

TYPED_TEST(BlockEncoding, DecodesAsTheGgufPackageDoes) {
  using E = TypeParam;
  const auto file = read_golden(E::kName);
  const size_t per_block = sizeof(typename E::Block) + E::kBlock * sizeof(float);
  ASSERT_GT(file.size(), 0u);
  ASSERT_EQ(file.size() % per_block, 0u);
  const size_t blocks = file.size() / per_block;
  std::vector<float> expected(blocks * E::kBlock), got(expected.size());
  std::memcpy(expected.data(), file.data() + blocks * sizeof(typename E::Block),
              expected.size() * sizeof(float));
  encoding_of<E>().decode(file.data(), got.data(), static_cast<int64_t>(got.size()));
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << i << ": " << got[i];
}

// Every code under every pair of leaf parameters, against the expression of docs/numerics.md evaluated in
// double and rounded where float32 rounds.
TYPED_TEST(ScalarEncoding, EveryCodeAndLeafParameterDecodesByItsExpression) {
  using E = TypeParam;
  int s_low = 1, s_high = 1, t_high = 0;
  if constexpr (E::kTwoLevel) s_low = E::kScaleLow, s_high = E::kScaleHigh;
  if constexpr (E::kOffset == Offset::subtracted) t_high = E::kMinHigh;
  Random random(3);
  typename E::Planes planes = random_planes<E>(random);
  std::vector<float> got(E::kBlock);
  for (int s = s_low; s <= s_high; ++s)
    for (int t = 0; t <= t_high; ++t) {
      if constexpr (!E::kOwnScales) planes.d = static_cast<uint16_t>(random.next() % 0x7c00);
      if constexpr (E::kOffset != Offset::none) planes.m = static_cast<uint16_t>(random.next() % 0x7c00);
      if constexpr (E::kTwoLevel) planes.scale.fill(static_cast<int8_t>(s));
      if constexpr (E::kOffset == Offset::subtracted) planes.min.fill(static_cast<uint8_t>(t));
      const double d = f16_to_float(planes.d), m = f16_to_float(planes.m);
      for (int code = 0; code < E::kCodes; code += E::kBlock) {
        for (int j = 0; j < E::kBlock; ++j)
          planes.code[static_cast<size_t>(j)] = static_cast<uint8_t>((code + j) % E::kCodes);
        typename E::Block block;
        E::pack(planes, block);
        encoding_of<E>().decode(reinterpret_cast<const uint8_t*>(&block), got.data(), E::kBlock);
        for (int j = 0; j < E::kBlock; ++j) {
          double scale = static_cast<float>(d * s);
          if constexpr (E::kOwnScales)
            scale = E::OwnScale::to_float(planes.own[static_cast<size_t>(j / E::kLeaf)]);
          double value = static_cast<float>(scale * E::level((code + j) % E::kCodes));
          if constexpr (E::kOffset == Offset::stored) value = static_cast<float>(value + m);
          if constexpr (E::kOffset == Offset::subtracted)
            value = static_cast<float>(value - static_cast<float>(m * t));
          ASSERT_EQ(got[static_cast<size_t>(j)], static_cast<float>(value))
              << "s " << s << " t " << t << " code " << code + j;
        }
      }
    }
}

// Products see levels as codes of a scalar grid, and the expression has no rounding in any order.
TYPED_TEST(BlockEncoding, LevelsAreWithinTheirRangeAndProductsExact) {
  using E = TypeParam;
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    const auto planes = random_planes<E>(random);
    for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
      int8_t level[E::kLeaf];
      leaf_levels<E>(planes, leaf, level);
      for (int8_t l : level) {
        ASSERT_GE(l, E::kAtom == 1 ? -128 : E::level(0));
        ASSERT_LE(l, E::kAtom == 1 ? 127 : E::level(E::kCodes - 1));
        if constexpr (E::kAtom > 1) {
          const double scale =
              double{f16_to_float(planes.d)} * E::kUnit * planes.scale[static_cast<size_t>(leaf)];
          ASSERT_EQ(scale, leaf_scale<E>(planes, leaf));
          ASSERT_EQ(scale * l, static_cast<double>(leaf_scale<E>(planes, leaf) * static_cast<float>(l)));
        }
      }
    }
  }
}

TEST(Encoding, DecodeIgnoresAlignment) {
  for (const Encoding* e : all_encodings()) {
    std::vector<uint8_t> bytes(e->block_bytes * 2 + 1);
    Random random(4);
    for (auto& b : bytes) b = static_cast<uint8_t>(random.next() & 0x3b);  // no f16 or bf16 of these is NaN
    std::vector<float> aligned(static_cast<size_t>(e->block)), shifted(aligned.size());
    e->decode(bytes.data() + 1, shifted.data(), e->block);
    std::memmove(bytes.data(), bytes.data() + 1, e->block_bytes);
    e->decode(bytes.data(), aligned.data(), e->block);
    EXPECT_EQ(aligned, shifted) << e->name;
  }
}

TEST(Encoding, SixteenBitFloatsDecodeEveryPattern) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint8_t bytes[2] = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)};
    float f16, bf16;
    encoding_f16().decode(bytes, &f16, 1);
    encoding_bf16().decode(bytes, &bf16, 1);
    const double sign = bits >> 15 ? -1 : 1;
    const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(f16), mantissa != 0);
      if (!mantissa) {
        EXPECT_EQ(f16, sign * std::numeric_limits<float>::infinity());
      }
    } else {
      EXPECT_EQ(f16,
                sign * (exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24)));
      EXPECT_EQ(std::signbit(f16), bits >> 15 != 0);
    }
    EXPECT_EQ(std::bit_cast<uint32_t>(bf16), bits << 16);
  }
}

TEST(Encoding, TheListIsConsistent) {
  std::set<std::string_view> names;
  std::set<uint32_t> ids;
  const auto check = [&](const Encoding& e) {
    EXPECT_TRUE(names.insert(e.name).second) << e.name;
    if (e.ggml_type != kNoGgmlType) {
      EXPECT_TRUE(ids.insert(e.ggml_type).second) << e.name;
      EXPECT_EQ(find_ggml_type(e.ggml_type), &e);
    }
    EXPECT_EQ(find_encoding(e.name), &e);
    EXPECT_EQ(e.block % e.leaf, 0) << e.name;
    EXPECT_EQ(e.leaf % e.atom, 0) << e.name;
  };
  EXPECT_EQ(all_encodings().size(), AllEncodings::kCount);
  for (const Encoding* e : all_encodings()) {
    check(*e);
    EXPECT_TRUE(e->can_decode()) << e->name;
  }
  for (const Encoding& e : storage_only_encodings()) {
    check(e);
    EXPECT_FALSE(e.can_decode()) << e.name;
  }
}

TEST(Encoding, NamesIgnoreCaseAndForeignIdsAreUnknown) {
  EXPECT_EQ(find_encoding("q4_k"), &encoding_of<Q4_K>());
  EXPECT_EQ(find_encoding("Iq4_nl"), &encoding_of<IQ4_NL>());
  EXPECT_EQ(find_encoding(""), nullptr);
  EXPECT_EQ(find_encoding("Q4_K_M"), nullptr);
  for (uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 97u, 133u, kNoGgmlType})
    EXPECT_EQ(find_ggml_type(id), nullptr) << id;
}

TEST(Encoding, SizesAreCheckedAgainstOverflowAndShape) {
  const Encoding& q4_k = encoding_of<Q4_K>();
  EXPECT_EQ(q4_k.checked_bytes(3, 512), 3u * 2 * 144);
  EXPECT_EQ(q4_k.checked_bytes(3, 500), std::nullopt);
  EXPECT_EQ(q4_k.checked_bytes(uint64_t{1} << 60, 256), std::nullopt);
  EXPECT_EQ(encoding_f32().checked_bytes(1, uint64_t{1} << 62), std::nullopt);
  EXPECT_DOUBLE_EQ(q4_k.bits_per_weight(), 4.5);
  EXPECT_FALSE(q4_k.fits(0));
  EXPECT_FALSE(q4_k.fits(128));
  EXPECT_TRUE(q4_k.fits(768));
}

}  // namespace
}  // namespace carat
