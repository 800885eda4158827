// Fenced blocks of Markdown, in which models put what is not prose.
#pragma once

#include <string_view>
#include <vector>

namespace carat {

struct FencedBlock {
  std::string_view tag;   ///< what follows the opening fence: "python"
  std::string_view text;  ///< whole lines; up to the end of the text where nothing closes the block
};
/// Three or more backticks open a block; as many or more alone on a line close it.
std::vector<FencedBlock> fenced_blocks(std::string_view text);

}  // namespace carat
