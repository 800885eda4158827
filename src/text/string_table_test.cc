#include "text/string_table.h"

#include <gtest/gtest.h>

#include <set>

namespace carat {
namespace {

TEST(StringTable, NumbersDistinctStringsOfEveryLength) {
  StringTable table;
  EXPECT_EQ(table.find("a"), -1);
  std::vector<std::string> all;
  for (size_t length = 0; length < 40; ++length) {
    all.emplace_back(length, 'x');
    for (size_t place = 0; place < length; ++place) {  // they differ in one byte, wherever it is
      all.emplace_back(length, 'x');
      all.back()[place] = '\0';
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (i == 100) table.reserve(500);  // among growth by itself before and after
    EXPECT_EQ(table.insert(all[i]), std::pair(static_cast<int32_t>(i), true));
  }
  EXPECT_EQ(table.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(table[i], all[i]);
    EXPECT_EQ(table.find(all[i]), static_cast<int32_t>(i));
    EXPECT_EQ(table.insert(all[i]), std::pair(static_cast<int32_t>(i), false));
  }
  EXPECT_EQ(table.find(std::string(40, 'x')), -1);
}

TEST(StringTable, HashesOfNearbyStringsDiffer) {
  std::set<uint64_t> hashes;
  size_t count = 0;
  for (int a = 0; a < 256; ++a) {
    for (const size_t length : {1, 3, 4, 7, 8, 9, 16, 17, 31}) {
      for (size_t place = 0; place < length; place += 3) {
        std::string s(length, 'x');
        if (a == 'x' && place > 0) continue;  // the same string again
        s[place] = static_cast<char>(a);
        hashes.insert(StringTable::hash(s));
        ++count;
      }
    }
  }
  EXPECT_EQ(hashes.size(), count);
}

}  // namespace
}  // namespace carat
