// Operations on texts that filters and methods share. Trust goes with every character.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/interpreter.h"
#include "text/utf8.h"

namespace carat::jinja {
namespace {

struct Character {
  size_t begin, end;
  uint32_t code;  ///< an invalid byte has a code of its own that nothing else has
};

Character character_at(std::string_view s, size_t at) {
  const size_t n = utf8_length(s, at);
  if (n == 0) return {at, at + 1, 0x110000u + static_cast<uint8_t>(s[at])};
  return {at, at + n, utf8_code_point(s, at, n)};
}

bool is_cased(uint32_t c) {
  if (c >= 0x110000) return false;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

void append_character(TextBuilder& out, const Text& t, const Character& c, uint32_t code) {
  if (code == c.code) return out.append(t, c.begin, c.end);
  std::string bytes;
  append_utf8(code, bytes);
  out.append(bytes, t.trust[c.begin] == 't');
}

}  // namespace

Value to_text(Interpreter& in, const Value& v) {
  if (v.text()) return v;
  TextBuilder out(in.budget());
  out.append(v);
  return out.finish();
}

const Text& text_argument(const Value* v, std::string_view function) {
  if (!v || !v->text())
    fail(fmt::format("{} needs a string, not {}", function, v ? type_name(*v) : "nothing"));
  return *v->text();
}

Value strip(Interpreter& in, const Text& t, const Value* characters, bool left, bool right) {
  in.budget().take_steps(t.size() / 16);
  std::vector<uint32_t> set;
  const bool spaces = !characters || characters->is_none();
  if (!spaces) {
    const Text& given = text_argument(characters, "strip");
    for (size_t at = 0; at < given.size(); at = character_at(given.bytes, at).end) {
      set.push_back(character_at(given.bytes, at).code);
    }
    std::ranges::sort(set);
  }
  const auto strips = [&](uint32_t c) { return spaces ? is_space(c) : std::ranges::binary_search(set, c); };
  size_t begin = 0, end = t.size();
  while (left && begin < end && strips(character_at(t.bytes, begin).code))
    begin = character_at(t.bytes, begin).end;
  while (right && end > begin) {
    size_t at = end - 1;
    for (size_t back = 1; back < 4 && at > begin && (static_cast<uint8_t>(t.bytes[at]) & 0xc0) == 0x80;
         ++back)
      --at;
    if (character_at(t.bytes, at).end != end) at = end - 1;
    if (!strips(character_at(t.bytes, at).code)) break;
    end = at;
  }
  return slice_text(in.budget(), t, begin, end);
}

Value replace(Interpreter& in, const Text& t, const Text& old, const Text& with, int64_t count) {
  TextBuilder out(in.budget());
  in.budget().take_steps(t.size() / 64);
  size_t at = 0;
  if (old.size() == 0) {  // before every character and at the end
    while (count != 0) {
      in.budget().take_steps();
      out.append(with);
      --count;
      if (at == t.size()) break;
      const size_t end = character_at(t.bytes, at).end;
      out.append(t, at, end);
      at = end;
    }
  } else {
    while (count != 0) {
      const size_t found = t.bytes.find(old.bytes, at);
      if (found == std::string::npos) break;
      in.budget().take_steps();
      out.append(t, at, found);
      out.append(with);
      at = found + old.size();
      --count;
    }
  }
  out.append(t, at, t.size());
  return out.finish();
}

Value change_case(Interpreter& in, const Text& t, Case to) {
  TextBuilder out(in.budget());
  in.budget().take_steps(t.size() / 8);
  bool after_cased = false;
  for (size_t at = 0; at < t.size();) {
    const Character c = character_at(t.bytes, at);
    at = c.end;
    if (c.code >= 0x110000) {
      out.append(t, c.begin, c.end);
      after_cased = false;
      continue;
    }
    const auto code = static_cast<utf8proc_int32_t>(c.code);
    const bool first = to == Case::title ? !after_cased : c.begin == 0;
    const auto category = utf8proc_category(code);
    const bool up = to == Case::upper || (to == Case::swap && category == UTF8PROC_CATEGORY_LL);
    const bool title = (to == Case::title || to == Case::capitalize) && first;
    if (up && c.code == 0xdf) {  // the one common letter whose upper case is two
      out.append("SS", t.trust[c.begin] == 't');
    } else {
      const auto changed = up      ? utf8proc_toupper(code)
                           : title ? utf8proc_totitle(code)
                                   : utf8proc_tolower(code);
      append_character(out, t, c, static_cast<uint32_t>(changed));
    }
    after_cased = is_cased(c.code);
  }
  return out.finish();
}

Value join(Interpreter& in, const Value& separator, const std::vector<Value>& items) {
  TextBuilder out(in.budget());
  in.budget().take_steps(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(separator);
    out.append(items[i]);
  }
  return out.finish();
}

bool has_case(const Text& t, Case to) {
  const auto wanted = to == Case::upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL;
  bool any = false;
  for (size_t at = 0; at < t.size();) {
    const Character c = character_at(t.bytes, at);
    at = c.end;
    if (!is_cased(c.code)) continue;
    if (utf8proc_category(static_cast<utf8proc_int32_t>(c.code)) != wanted) return false;
    any = true;
  }
  return any;
}

std::vector<Value> split_lines(Interpreter& in, const Text& t) {
  std::vector<Value> lines;
  in.budget().take_steps(t.size() / 16);
  const auto ends_line = [](uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  for (size_t begin = 0, at = 0; begin < t.size();) {
    size_t end = at, next = t.size();
    for (end = begin; end < t.size();) {
      const Character c = character_at(t.bytes, end);
      if (ends_line(c.code)) {
        next = c.code == '\r' && c.end < t.size() && t.bytes[c.end] == '\n' ? c.end + 1 : c.end;
        break;
      }
      end = c.end;
    }
    in.budget().take_steps();
    lines.push_back(slice_text(in.budget(), t, begin, end));
    begin = next;
  }
  return lines;
}

/// %s %r %d %i %f %e %g %x %o %c %% with flags, width and precision; mapping keys %(name)s.
Value format_percent(Interpreter& in, const Text& pattern, const Value& values) {
  TextBuilder out(in.budget());
  const List* tuple = values.list() && values.list()->kind == List::tuple ? values.list() : nullptr;
  size_t used = 0;
  const auto next_value = [&]() -> Value {
    if (tuple) {
      if (used >= tuple->items.size()) fail("not enough arguments for the format string");
      return tuple->items[used++];
    }
    if (used++ > 0) fail("not enough arguments for the format string");
    return values;
  };
  const std::string& s = pattern.bytes;
  for (size_t at = 0; at < s.size();) {
    const size_t percent = s.find('%', at);
    out.append(pattern, at, std::min(percent, s.size()));
    if (percent == std::string::npos) break;
    in.budget().take_steps();
    size_t i = percent + 1;
    Value named;
    bool has_name = false;
    if (i < s.size() && s[i] == '(') {
      const size_t close = s.find(')', i);
      if (close == std::string::npos || !values.dict()) fail("a format string's %(name) needs a dict");
      const Value* found = values.dict()->find(make_literal(s.substr(i + 1, close - i - 1)));
      if (!found) fail("a name of the format string is missing from the dict");
      named = *found;
      has_name = true;
      used = 1;
      i = close + 1;
    }
    std::string flags;
    while (i < s.size() && std::string_view("-+ 0#").find(s[i]) != std::string_view::npos && flags.size() < 5)
      flags += s[i++];
    const auto number = [&] {
      int n = 0;
      for (; i < s.size() && s[i] >= '0' && s[i] <= '9'; ++i) {
        n = n * 10 + (s[i] - '0');
        if (n > 1000) fail("a width of the format string is too large");
      }
      return n;
    };
    const int width = number();
    int precision = -1;
    if (i < s.size() && s[i] == '.') ++i, precision = number();
    if (i == s.size()) fail("the format string ends within a conversion");
    const char conversion = s[i++];
    at = i;
    if (conversion == '%') {
      out.append("%", true);
      continue;
    }
    const Value v = has_name ? named : next_value();
    const bool left = flags.find('-') != std::string::npos,
               zero = flags.find('0') != std::string::npos && !left;
    TextBuilder piece(in.budget());
    bool numeric = false;
    if (conversion == 's' || conversion == 'r') {
      conversion == 's' ? piece.append(v) : piece.append_repr(v);
    } else if (conversion == 'd' || conversion == 'i' || conversion == 'x' || conversion == 'X' ||
               conversion == 'o') {
      const double* d = v.get<double>();
      if (d && !(std::fabs(*d) < 9e18)) fail("a number does not fit the format string's %d");
      const int64_t n = d && (conversion == 'd' || conversion == 'i') ? static_cast<int64_t>(*d)
                                                                      : to_int(v, "the value of %d");
      const uint64_t magnitude = n < 0 ? uint64_t{0} - static_cast<uint64_t>(n) : static_cast<uint64_t>(n);
      const std::string sign = n < 0                                  ? "-"
                               : flags.find('+') != std::string::npos ? "+"
                               : flags.find(' ') != std::string::npos ? " "
                                                                      : "";
      piece.append(sign + (conversion == 'x'   ? fmt::format("{:x}", magnitude)
                           : conversion == 'X' ? fmt::format("{:X}", magnitude)
                           : conversion == 'o' ? fmt::format("{:o}", magnitude)
                                               : fmt::format("{}", magnitude)),
                   true);
      numeric = true;
    } else if (std::string_view("fFeEgG").find(conversion) != std::string_view::npos) {
      const std::string spec = fmt::format("%{}.{}{}", flags.find('+') != std::string::npos ? "+" : "",
                                           precision < 0 ? 6 : precision, conversion);
      char buffer[1400];
      std::snprintf(buffer, sizeof buffer, spec.c_str(), to_double(v));
      piece.append(buffer, true);
      numeric = true;
    } else {
      fail("a conversion of the format string is unknown");
    }
    const Value text = piece.finish();
    const Text& t = *text.text();
    auto offsets = character_offsets(t.bytes);
    size_t characters = offsets.size() - 1;
    if (!numeric && precision >= 0) characters = std::min(characters, static_cast<size_t>(precision));
    const size_t padding =
        static_cast<size_t>(width) > characters ? static_cast<size_t>(width) - characters : 0;
    const bool zeros = zero && numeric;
    const size_t sign = zeros && t.size() > 0 && (t.bytes[0] == '-' || t.bytes[0] == '+') ? 1 : 0;
    out.append(t, 0, sign);
    if (!left) out.append(std::string(padding, zeros ? '0' : ' '), true);
    out.append(t, sign, offsets[characters]);
    if (left) out.append(std::string(padding, ' '), true);
  }
  if (tuple ? used < tuple->items.size()
            : used == 0 && !values.dict() && !values.list() && !values.is_undefined())
    fail("not all arguments are used by the format string");
  return out.finish();
}

}  // namespace carat::jinja
