#include "engine/utf8_stream.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace carat {
namespace {

std::string whole(std::string_view bytes) {
  Utf8Stream stream;
  std::string out = stream.push(bytes);
  return out + stream.finish();
}

TEST(Utf8Stream, HoldsBackUnfinishedCharacters) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xe2"), "a");
  EXPECT_EQ(stream.push("\x82"), "");
  EXPECT_EQ(stream.push("\xac!"), "\xe2\x82\xac!");
  EXPECT_EQ(stream.push("\xf0\x9f\x98"), "");
  EXPECT_EQ(stream.push("\x80"), "\xf0\x9f\x98\x80");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, ReplacesWhatIsIllFormed) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(whole("a\xff"), "a" + r);
  EXPECT_EQ(whole("\xe2\x82"), r);                      // unfinished at the end
  EXPECT_EQ(whole("\xe2\x82z"), r + "z");               // one mark per maximal piece
  EXPECT_EQ(whole("\xc0\x80"), r + r);                  // overlong
  EXPECT_EQ(whole("\xed\xa0\x80"), r + r + r);          // surrogate
  EXPECT_EQ(whole("\xf4\x90\x80\x80"), r + r + r + r);  // beyond U+10FFFF
  EXPECT_EQ(whole("\x80\x80"), r + r);
  EXPECT_EQ(whole("\xf0\x9f\xf0\x9f\x98\x80"), r + "\xf0\x9f\x98\x80");
}

TEST(Utf8Stream, CutsDoNotMatter) {
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) {
      constexpr std::string_view interesting = "a\x80\x9f\xa0\xbf\xc2\xe0\xe2\xed\xf0\xf4\xff";
      bytes += interesting[random.next() % interesting.size()];
    }
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = 1 + random.next() % 3;
      out += stream.push(std::string_view(bytes).substr(at, n));
      at += n;
    }
    EXPECT_EQ(out + stream.finish(), whole(bytes));
  }
}

}  // namespace
}  // namespace carat
