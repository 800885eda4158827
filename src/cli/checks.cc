#include "cli/checks.h"

#include <charconv>
#include <cmath>

#include "base/error.h"

namespace carat {
namespace {

/// The whole of `text` as a number.
template <class T>
std::errc parse(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stopped, code] = std::from_chars(text.data(), end, value);
  return code == std::errc() && stopped != end ? std::errc::invalid_argument : code;
}

/// What is wrong with `text` as a whole number; empty if nothing is.
std::string check_whole_number(const std::string& text, int64_t low, int64_t high) {
  int64_t value = 0;
  const std::errc code = parse(text, value);
  if (code == std::errc::invalid_argument) return fmt::format("'{}' is not a whole number", text);
  if (code != std::errc() || value < low || value > high)
    return fmt::format("{} is outside {} to {}", text, low, high);
  return {};
}

}  // namespace

CLI::Validator whole_number(int64_t low, int64_t high) {
  return CLI::Validator([low, high](std::string& text) { return check_whole_number(text, low, high); }, "");
}

CLI::Validator whole_numbers(int64_t low, int64_t high) {
  return CLI::Validator(
      [low, high](std::string& list) {
        for (const std::string& text : split_at_commas(list))
          if (auto wrong = check_whole_number(text, low, high); !wrong.empty()) return wrong;
        return std::string();
      },
      "");
}

std::vector<int64_t> parse_whole_numbers(const std::string& list) {
  std::vector<int64_t> out;
  for (const std::string& text : split_at_commas(list)) (void)parse(text, out.emplace_back());
  return out;
}

std::vector<std::string> split_at_commas(const std::string& list) {
  std::vector<std::string> out(1);
  for (const char c : list) {
    if (c == ',')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

CLI::Validator finite_number() {
  return CLI::Validator(
      [](std::string& text) {
        double value = 0;
        const bool good = parse(text, value) == std::errc() && std::isfinite(value);
        return good ? std::string() : fmt::format("'{}' is not a number", text);
      },
      "");
}

}  // namespace carat
