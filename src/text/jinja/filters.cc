// Filters of single values, by the names and parameters jinja2 gives them; tojson as Hugging Face's
// transformers replaces it.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/filters.h"
#include "text/utf8.h"

namespace carat::jinja {
namespace {

Value default_value(Interpreter& in, const Value& v, const Arguments& a) {
  const bool falsy_too = flag(a, 1, "boolean", false);
  if (!v.is_undefined() && (!falsy_too || is_true(v))) return v;
  const Value* otherwise = a.find(0, "default_value");
  return otherwise ? *otherwise : in.text("");
}

Value to_json(Interpreter& in, const Value& v, const Arguments& a) {
  JsonStyle style;
  style.ensure_ascii = flag(a, 0, "ensure_ascii", false);
  if (const Value* indent = a.find(1, "indent"); indent && !indent->is_none()) {
    style.indent = static_cast<int>(std::clamp<int64_t>(to_int(*indent, "the indentation"), 0, 64));
    style.item_separator = std::string(1, ',');
  }
  if (const Value* separators = a.find(2, "separators"); separators && !separators->is_none()) {
    const auto parts = in.items_of(*separators);
    if (parts.size() != 2) fail("separators of tojson are two strings");
    style.item_separator = text_argument(&parts[0], "tojson").bytes;
    style.key_separator = text_argument(&parts[1], "tojson").bytes;
  }
  style.sort_keys = flag(a, 3, "sort_keys", false);
  in.budget().take_steps(weight_of(v));
  TextBuilder out(in.budget());
  append_json(out, v, style);
  return out.finish();
}

Value indent(Interpreter& in, const Value& v, const Arguments& a) {
  const Value text = to_text(in, v);
  const Value* width = a.find(0, "width");
  const bool first = flag(a, 1, "first", false), blank = flag(a, 2, "blank", false);
  Value by;
  if (width && width->text()) {
    by = *width;
  } else {
    const int64_t n = width ? to_int(*width, "the width") : 4;
    by = in.text(std::string(static_cast<size_t>(std::clamp<int64_t>(n, 0, 10000)), ' '));
  }
  // A trailing newline leaves an empty last line.
  TextBuilder with_end(in.budget());
  with_end.append(*text.text());
  with_end.append("\n", true);
  const Value ended = with_end.finish();
  const auto lines = split_lines(in, *ended.text());
  TextBuilder out(in.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", true);
    if (i == 0 ? first : (blank || lines[i].text()->size() > 0)) out.append(by);
    out.append(lines[i]);
  }
  return out.finish();
}

Value title(Interpreter& in, const Value& v, const Arguments&) {
  const Value text = to_text(in, v);
  const Text& t = *text.text();
  TextBuilder out(in.budget());
  const auto starts_word = [&](size_t at) {
    return std::string_view("-({[<").find(t.bytes[at]) != std::string_view::npos;
  };
  for (size_t at = 0; at < t.size();) {
    // Words begin after hyphens, opening brackets and white space.
    size_t end = at;
    const auto separator = [&](size_t i) {
      const size_t n = utf8_length(t.bytes, i);
      return n > 0 && (is_space(utf8_code_point(t.bytes, i, n)) || starts_word(i)) ? n : size_t{0};
    };
    while (end < t.size() && separator(end)) end += separator(end);
    out.append(t, at, end);
    at = end;
    while (end < t.size() && !separator(end)) end += std::max<size_t>(1, utf8_length(t.bytes, end));
    if (end > at) out.append(change_case(in, *slice_text(in.budget(), t, at, end).text(), Case::capitalize));
    at = end;
  }
  return out.finish();
}

}  // namespace

Value escape_html(Interpreter& in, const Value& v) {
  const Value text = to_text(in, v);
  const Text& t = *text.text();
  if (t.markup) return text;
  TextBuilder out(in.budget());
  for (size_t at = 0; at < t.size(); ++at) {
    const char c = t.bytes[at];
    const std::string_view entity = c == '&'    ? "&amp;"
                                    : c == '<'  ? "&lt;"
                                    : c == '>'  ? "&gt;"
                                    : c == '"'  ? "&#34;"
                                    : c == '\'' ? "&#39;"
                                                : "";
    entity.empty() ? out.append(t, at, at + 1) : out.append(entity, t.trust[at] == 't');
  }
  return out.finish(true);
}

namespace {

/// Python's int(text) or float(text): spaces around, underscores between digits.
template <class Number>
bool parse_number(const Text& t, Number& out) {
  std::string s = t.bytes;
  const auto begin = s.find_first_not_of(" \t\n\r\v\f");
  const auto end = s.find_last_not_of(" \t\n\r\v\f");
  if (begin == std::string::npos) return false;
  s = s.substr(begin, end - begin + 1);
  for (size_t i = 0; i < s.size(); ++i) {
    const auto digit = [&](size_t k) { return k < s.size() && s[k] >= '0' && s[k] <= '9'; };
    if (s[i] == '_' && !(i > 0 && digit(i - 1) && digit(i + 1))) return false;
  }
  std::erase(s, '_');
  const char* first = s.data() + (s[0] == '+' && s.size() > 1 && s[1] != '-' ? 1 : 0);
  const auto result = std::from_chars(first, s.data() + s.size(), out);
  return result.ec == std::errc{} && result.ptr == s.data() + s.size();
}

Value to_integer(Interpreter&, const Value& v, const Arguments& a) {
  const Value* given = a.find(0, "default");
  const Value otherwise = given ? *given : Value(0);
  double d = 0;
  if (const Text* t = v.text()) {
    int64_t i = 0;
    if (parse_number(*t, i)) return i;
    if (!parse_number(*t, d)) return otherwise;
  } else if (v.is_number()) {
    if (!v.get<double>()) return to_int(v, "");
    d = *v.get<double>();
  } else {
    return otherwise;
  }
  if (!std::isfinite(d)) return otherwise;
  if (std::fabs(d) > 9.2e18) fail("an integer grows beyond 64 bits");
  return static_cast<int64_t>(d);
}

Value to_float(Interpreter&, const Value& v, const Arguments& a) {
  const Value* given = a.find(0, "default");
  double d = 0;
  if (v.text() ? parse_number(*v.text(), d) : v.is_number()) return v.text() ? d : to_double(v);
  return given ? *given : Value(0.0);
}

Value round(Interpreter&, const Value& v, const Arguments& a) {
  const Value* digits_given = a.find(0, "precision");
  const Value* method_given = a.find(1, "method");
  const int64_t digits =
      digits_given ? std::clamp<int64_t>(to_int(*digits_given, "the precision"), -300, 300) : 0;
  const std::string method = method_given ? text_argument(method_given, "round").bytes : "common";
  const double d = to_double(v);
  if (method == "ceil" || method == "floor") {
    const double scale = std::pow(10.0, static_cast<double>(digits));
    return (method == "ceil" ? std::ceil(d * scale) : std::floor(d * scale)) / scale;
  }
  if (method != "common") fail("the method of round is common, ceil or floor");
  const bool integer = !v.get<double>();
  if (digits < 0 || !std::isfinite(d)) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    const double rounded = std::isfinite(d) ? std::nearbyint(d / scale) * scale : d;
    if (integer && std::fabs(rounded) > 9.2e18) fail("an integer grows beyond 64 bits");
    return integer ? Value(static_cast<int64_t>(rounded)) : Value(rounded);
  }
  if (integer) return to_int(v, "");
  // The C library rounds the exact binary value, ties to even, which is what Python's round() does.
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), d);
  return std::strtod(buffer, nullptr);
}

Value absolute(Interpreter& in, const Value& v, const Arguments&) {
  if (const double* d = v.get<double>()) return std::fabs(*d);
  return to_int(v, "the value of abs") < 0 ? in.arithmetic("-", 0, v) : Value(to_int(v, ""));
}

Value truncate(Interpreter& in, const Value& v, const Arguments& a) {
  const Value text = to_text(in, v);
  const Text& t = *text.text();
  const auto number = [&](size_t position, std::string_view name, int64_t otherwise) {
    const Value* given = a.find(position, name);
    return given && !given->is_none() ? to_int(*given, name) : otherwise;
  };
  const int64_t longest = number(0, "length", 255), leeway = number(3, "leeway", 5);
  const Value* end_given = a.find(2, "end");
  const Value end = end_given ? *end_given : in.text("...");
  const auto ending = static_cast<int64_t>(character_count(text_argument(&end, "truncate").bytes));
  const auto offsets = character_offsets(t.bytes);
  if (longest < ending || leeway < 0) fail("truncate needs a length of at least its end's");
  if (static_cast<int64_t>(offsets.size()) - 1 <= longest + leeway) return text;
  size_t cut = offsets[static_cast<size_t>(longest - ending)];
  if (!flag(a, 1, "killwords", false)) {
    const size_t space = t.bytes.substr(0, cut).rfind(' ');
    if (space != std::string::npos) cut = space;
  }
  TextBuilder out(in.budget());
  out.append(t, 0, cut);
  out.append(end);
  return out.finish();
}

Value word_count(Interpreter& in, const Value& v, const Arguments&) {
  const Value text = to_text(in, v);
  size_t words = 0;
  bool inside = false;
  const std::string& s = text.text()->bytes;
  in.budget().take_steps(s.size() / 8);
  for (size_t at = 0; at < s.size();) {
    const size_t n = utf8_length(s, at);
    const uint32_t c = n == 0 ? 0 : utf8_code_point(s, at, n);
    const bool belongs = is_letter(c) || is_number(c) || c == '_';
    words += belongs && !inside ? 1 : 0;
    inside = belongs;
    at += std::max<size_t>(1, n);
  }
  return words;
}

Value url_encode(Interpreter& in, const Value& v, const Arguments&) {
  const Value text = to_text(in, v);
  const Text& t = *text.text();
  TextBuilder out(in.budget());
  for (size_t at = 0; at < t.size(); ++at) {
    const auto c = static_cast<uint8_t>(t.bytes[at]);
    const bool plain =
        c < 0x80 && (std::isalnum(c) || c == '_' || c == '.' || c == '-' || c == '~' || c == '/');
    plain ? out.append(t, at, at + 1) : out.append(fmt::format("%{:02X}", c), t.trust[at] == 't');
  }
  return out.finish();
}

Value replace_filter(Interpreter& in, const Value& v, const Arguments& a) {
  const Value text = to_text(in, v);
  const Value* old = a.find(0, "old");
  const Value* with = a.find(1, "new");
  const Value* count = a.find(2, "count");
  if (!old || !with) fail("replace needs what to replace and by what");
  const Value from = to_text(in, *old), to = to_text(in, *with);
  return replace(in, *text.text(), *from.text(), *to.text(),
                 count && !count->is_none() ? to_int(*count, "the count") : -1);
}

template <Case to>
Value case_filter(Interpreter& in, const Value& v, const Arguments&) {
  const Value text = to_text(in, v);
  return change_case(in, *text.text(), to);
}

constexpr FilterEntry value_filters[] = {
    {"abs", absolute},
    {"attr",
     [](Interpreter& in, const Value& v, const Arguments& a) {
       return in.attribute_of(v, text_argument(a.find(0, "name"), "attr").bytes);
     }},
    {"capitalize", case_filter<Case::capitalize>},
    {"d", default_value},
    {"default", default_value},
    {"e", [](Interpreter& in, const Value& v, const Arguments&) { return escape_html(in, v); }},
    {"escape", [](Interpreter& in, const Value& v, const Arguments&) { return escape_html(in, v); }},
    {"float", to_float},
    {"format",
     [](Interpreter& in, const Value& v, const Arguments& a) {
       const Value pattern = to_text(in, v);
       if (a.positional.empty() && !a.named.empty()) {
         std::vector<std::pair<Value, Value>> items;
         for (const auto& [name, value] : a.named) items.emplace_back(make_literal(name), value);
         return format_percent(in, *pattern.text(), make_dict(in.budget(), std::move(items)));
       }
       return format_percent(in, *pattern.text(), in.list(a.positional, List::tuple));
     }},
    {"indent", indent},
    {"int", to_integer},
    {"lower", case_filter<Case::lower>},
    {"replace", replace_filter},
    {"round", round},
    {"safe",
     [](Interpreter& in, const Value& v, const Arguments&) {
       TextBuilder out(in.budget());
       out.append(v);
       return out.finish(true);
     }},
    {"string", [](Interpreter& in, const Value& v, const Arguments&) { return to_text(in, v); }},
    {"title", title},
    {"tojson", to_json},
    {"trim",
     [](Interpreter& in, const Value& v, const Arguments& a) {
       const Value text = to_text(in, v);
       return strip(in, *text.text(), a.find(0, "chars"), true, true);
     }},
    {"truncate", truncate},
    {"upper", case_filter<Case::upper>},
    {"urlencode", url_encode},
    {"wordcount", word_count},
};

const FilterEntry* find_filter(std::string_view name) {
  for (const std::span<const FilterEntry> entries :
       {std::span<const FilterEntry>(value_filters), sequence_filters()}) {
    const auto found = std::ranges::find(entries, name, &FilterEntry::name);
    if (found != entries.end()) return &*found;
  }
  return nullptr;
}

}  // namespace

bool flag(const Arguments& a, size_t position, std::string_view name, bool otherwise) {
  const Value* v = a.find(position, name);
  return v ? is_true(*v) : otherwise;
}

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value apply_filter(Interpreter& in, const std::string& name, const Value& v, const Arguments& a) {
  const FilterEntry* found = find_filter(name);
  if (!found) fail(fmt::format("the filter '{}' is unknown", name.substr(0, 40)));
  in.budget().take_steps();
  return found->filter(in, v, a);
}

}  // namespace carat::jinja
