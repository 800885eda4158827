// Numbers as people and models write them.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace carat {

struct WrittenNumber {
  double value = 0;
  bool percent = false;  ///< a percent sign or the word follows; value is the number before it
  size_t begin = 0, end = 0;
};

/// All numbers of a text, left to right, not overlapping: 1,234.5  -3  3/4  1 1/2  \frac{3}{4}  2e5  2 x 10^5
/// 1.5 million  5k  40%. Digits that follow a letter or an underscore (x1, H2O) are no number. A minus is a
/// sign where nothing stands before it: "7-5" holds 7 and 5. Linear in the text.
std::vector<WrittenNumber> find_numbers(std::string_view text);

}  // namespace carat
