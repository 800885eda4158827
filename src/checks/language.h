// Which language a text is in, told by its script and by the words that every text of a language has. Small
// and honest: where the signs are few or disagree there is no answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace carat {

/// ISO 639-1 codes that detect_language may answer.
std::vector<std::string_view> known_languages();
/// Text must be valid UTF-8.
std::optional<std::string> detect_language(std::string_view text);

}  // namespace carat
