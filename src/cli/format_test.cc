#include "cli/format.h"

#include <gtest/gtest.h>

#include <array>

#include "cli/console.h"

namespace carat {
namespace {

TEST(Format, ThreeDigitsAndAPrefix) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.00 kB");
  EXPECT_EQ(human_bytes(98'765'432), "98.8 MB");
  EXPECT_EQ(human_bytes(999'600), "1.00 MB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "18447 PB");
  EXPECT_EQ(human_count(134'515'008), "135 M");
  EXPECT_EQ(human_count(7), "7");
  EXPECT_EQ(human_count(0.25), "0.25");
}

TEST(Format, StrayBytes) {
  EXPECT_EQ(invalid_utf8_bytes(""), 0);
  EXPECT_EQ(invalid_utf8_bytes("gr\u00fc\u00df \U0001f600"), 0);
  EXPECT_EQ(invalid_utf8_bytes("a\xff\xfe"
                               "b\xe2\x82"),
            4);
}

TEST(Format, Durations) {
  EXPECT_EQ(human_duration(0.2), "0:00");
  EXPECT_EQ(human_duration(59.7), "1:00");
  EXPECT_EQ(human_duration(3723), "1:02:03");
  EXPECT_EQ(human_duration(-1), "0:00");
  EXPECT_EQ(human_duration(1e300), human_duration(3.6e9));
}

TEST(Format, PrintableTextCannotDriveTheTerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(printable("tab\tline\n"), "tab\tline\n");
  EXPECT_EQ(printable("\xc2\x9b"), "\\x9b");  // U+009B is CSI in one character
  EXPECT_EQ(printable("\xc2\xa0\xf0\x9f\x98\x80"), "\xc2\xa0\xf0\x9f\x98\x80");
}

TEST(Format, InvalidUtf8IsReplacedByteByByte) {
  EXPECT_EQ(valid_utf8("\xff"), "\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xc3\xa9\xc3"), "\xc3\xa9\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");                  // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80").size(), 12u);                          // beyond U+10FFFF
  EXPECT_EQ(valid_utf8("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf");
}

TEST(Format, ClipsByCharacters) {
  EXPECT_EQ(clipped("\xc3\xa9\xc3\xa9x", 2), "\xc3\xa9\xc3\xa9");
  EXPECT_EQ(clipped("abc", 9), "abc");
  EXPECT_EQ(clipped("abc", 0), "");
}

TEST(NearestName, FindsSlipsAndNothingElse) {
  constexpr std::array<std::string_view, 3> verbs = {"inspect", "quantize", "run"};
  EXPECT_EQ(nearest_name("inspct", verbs), "inspect");
  EXPECT_EQ(nearest_name("quantise", verbs), "quantize");
  EXPECT_EQ(nearest_name("QUANTIZE", verbs), "quantize");
  EXPECT_EQ(nearest_name("rnu", verbs), "run");
  EXPECT_EQ(nearest_name("serve", verbs), "");
  EXPECT_EQ(nearest_name("", verbs), "");
  EXPECT_EQ(nearest_name(std::string(100'000, 'q'), verbs), "");
}

TEST(ProgressLine, SaysHowFarHowFastHowLong) {
  EXPECT_EQ(progress_line("quantizing", "weights", "blk.0", 50'000'000, 100'000'000, 10, 0),
            "quantizing  50%  5.00 M weights/s  ETA 0:10  blk.0");
  EXPECT_EQ(progress_line("quantizing", "weights", "", 25, 100, 0.1, 60),
            "quantizing [####------------]  25%");
}

TEST(ProgressLine, FitsTheWidthAndSurvivesOddNumbers) {
  const std::string_view name = "a.very.long.tensor.name.that.goes.on.and.on.and.on.weight";
  for (int64_t width : {1, 10, 40, 60, 100, 200})
    EXPECT_LE(display_width(progress_line("stage", "units", name, 5, 10, 3, width)), width);
  EXPECT_NO_FATAL_FAILURE(progress_line("stage", "units", "", 0, 0, 1, 80));
  EXPECT_EQ(progress_line("s", "u", "", 300, 100, 0, 20), "s 100%");  // more than was announced
}

}  // namespace
}  // namespace carat
