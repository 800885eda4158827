// The formats of JSON Schema (draft 2020-12, Validation, section 7.3) as assertions.
#pragma once

#include <string_view>

namespace carat {

enum class FormatKind {
  asserted,     ///< has_format() knows it
  unsupported,  ///< the specification defines it, has_format() does not know it
  annotation    ///< not of the specification
};
FormatKind format_kind(std::string_view format);
/// Whether text, valid UTF-8, has an asserted format.
bool has_format(std::string_view format, std::string_view text);

}  // namespace carat
