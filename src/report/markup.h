// HTML that cannot be broken by what is put into it. Text and markup are different types: whatever is a
// string is escaped on its way in, and only Markup goes in as it is. Models write the texts of a report, so
// every one of them is hostile.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace carat {

/// Text as characters of HTML and of XML: & < > " ' escaped; what is not UTF-8, and what XML forbids, becomes
/// U+FFFD; control characters become their pictures (U+2400 on); marks that reorder what follows them, with
/// which a text could disguise the words around it, become visible. Line feeds and tabs stay.
std::string escaped(std::string_view text);

/// A text of at most `columns` columns: the middle of a longer one becomes an ellipsis, because the names of
/// variants differ at their ends. Wide characters (East Asian, emoji) count two.
std::string clipped_text(std::string_view text, int64_t columns);
/// The first `bytes` bytes at most, whole characters, with an ellipsis where it was cut.
std::string shortened(std::string_view text, size_t bytes);

class Markup {
 public:
  Markup() = default;
  /// Only for texts of this program.
  explicit Markup(std::string html) : html_(std::move(html)) {}
  const std::string& html() const { return html_; }
  bool empty() const { return html_.empty(); }
  Markup& operator+=(const Markup& other) {
    html_ += other.html_;
    return *this;
  }

 private:
  std::string html_;
};

template <class T>
auto markup_argument(const T& value) {
  if constexpr (std::is_same_v<T, Markup>)
    return std::string_view(value.html());
  else if constexpr (std::is_convertible_v<const T&, std::string_view>)
    return escaped(value);
  else
    return value;
}
template <class T>
using MarkupArgument = decltype(markup_argument(std::declval<const T&>()));

/// fmt::format for HTML: markup("<td>{}</td>", text) escapes the text.
template <class... A>
Markup markup(fmt::format_string<MarkupArgument<A>...> format, const A&... values) {
  return Markup(fmt::format(format, markup_argument(values)...));
}

}  // namespace carat
