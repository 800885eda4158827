// The filters, by the names and parameters jinja2 gives them; tojson as Hugging Face's transformers replaces
// it.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/interpreter.h"
#include "text/utf8.h"

namespace carat::jinja {
namespace {

using Filter = Value (*)(Interpreter&, const Value&, const Arguments&);

bool flag(const Arguments& a, size_t position, std::string_view name, bool otherwise) {
  const Value* v = a.find(position, name);
  return v ? is_true(*v) : otherwise;
}

/// The attribute a.b.0 of a value: names and indices with dots between, or an index.
Value attribute_path(Interpreter& in, Value v, const Value& path) {
  if (!path.text()) return in.item_of(v, path);
  std::string_view rest = path.text()->bytes;
  for (;;) {
    const size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    int64_t index = 0;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = code == std::errc{} && end == part.data() + part.size() && part[0] != '-';
    v = in.item_of(v, number ? Value(index) : make_literal(part));
    if (dot == std::string_view::npos) return v;
    rest.remove_prefix(dot + 1);
  }
}

Value lower_if_text(Interpreter& in, const Value& v) {
  return v.text() ? change_case(in, *v.text(), Case::lower) : v;
}

/// Sorting keys of items: an attribute (several with commas), strings without case unless asked.
std::vector<std::pair<Value, Value>> keyed(Interpreter& in, const Value& v, const Value* attribute,
                                           bool case_sensitive) {
  std::vector<std::pair<Value, Value>> out;
  for (Value& item : in.items_of(v)) {
    Value key = item;
    if (attribute && !attribute->is_none()) {
      if (attribute->text() && attribute->text()->bytes.find(',') != std::string::npos) {
        std::vector<Value> parts;
        const std::string& all = attribute->text()->bytes;
        for (size_t begin = 0; begin <= all.size();) {
          const size_t comma = std::min(all.find(',', begin), all.size());
          Value part = attribute_path(in, item, make_literal(all.substr(begin, comma - begin)));
          parts.push_back(case_sensitive ? part : lower_if_text(in, part));
          begin = comma + 1;
        }
        key = in.list(std::move(parts));
      } else {
        key = attribute_path(in, item, *attribute);
      }
    }
    out.emplace_back(case_sensitive ? std::move(key) : lower_if_text(in, key), std::move(item));
  }
  return out;
}

void sort_keyed(Interpreter& in, std::vector<std::pair<Value, Value>>& items, bool reverse) {
  uint64_t weight = 0;
  for (const auto& item : items) weight += weight_of(item.first);
  in.budget().take_steps(weight * 20);
  // Equal items keep their order in both directions, as in Python.
  std::ranges::stable_sort(items, [&](const auto& a, const auto& b) {
    return reverse ? less(b.first, a.first) : less(a.first, b.first);
  });
}

Value sort(Interpreter& in, const Value& v, const Arguments& a) {
  auto items = keyed(in, v, a.find(2, "attribute"), flag(a, 1, "case_sensitive", false));
  sort_keyed(in, items, flag(a, 0, "reverse", false));
  std::vector<Value> out;
  for (auto& item : items) out.push_back(std::move(item.second));
  return in.list(std::move(out));
}

Value extreme(Interpreter& in, const Value& v, const Arguments& a, bool largest) {
  auto items = keyed(in, v, a.find(1, "attribute"), flag(a, 0, "case_sensitive", false));
  if (items.empty()) return {};
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    if (largest ? less(items[best].first, items[i].first) : less(items[i].first, items[best].first)) best = i;
  }
  return items[best].second;
}

Value unique(Interpreter& in, const Value& v, const Arguments& a) {
  std::vector<Value> out;
  std::unordered_map<std::string, bool> seen;
  for (auto& [key, item] : keyed(in, v, a.find(1, "attribute"), flag(a, 0, "case_sensitive", false))) {
    if (seen.emplace(key_of(key), true).second) out.push_back(std::move(item));
  }
  return in.list(std::move(out), List::generator);
}

Value group_by(Interpreter& in, const Value& v, const Arguments& a) {
  const Value* attribute = a.find(0, "attribute");
  if (!attribute) fail("groupby needs an attribute");
  auto items = keyed(in, v, attribute, flag(a, 2, "case_sensitive", false));
  sort_keyed(in, items, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin;
    std::vector<Value> members;
    while (end < items.size() && equal(items[end].first, items[begin].first))
      members.push_back(items[end++].second);
    Value name = attribute_path(in, members[0], *attribute);
    groups.push_back(in.list({std::move(name), in.list(std::move(members))}, List::tuple));
    begin = end;
  }
  return in.list(std::move(groups));
}

Value dict_sort(Interpreter& in, const Value& v, const Arguments& a) {
  if (!v.dict()) fail(fmt::format("dictsort needs a dict, not {}", type_name(v)));
  const bool case_sensitive = flag(a, 0, "case_sensitive", false);
  const Value* by = a.find(1, "by");
  const bool by_value = by && by->text() && by->text()->bytes == "value";
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, value] : v.dict()->items) {
    const Value& sorted = by_value ? value : key;
    items.emplace_back(case_sensitive ? sorted : lower_if_text(in, sorted),
                       in.list({key, value}, List::tuple));
  }
  sort_keyed(in, items, flag(a, 2, "reverse", false));
  std::vector<Value> out;
  for (auto& item : items) out.push_back(std::move(item.second));
  return in.list(std::move(out));
}

Arguments after(const Arguments& a, size_t skip) {
  Arguments rest;
  for (size_t i = skip; i < a.positional.size(); ++i) rest.positional.push_back(a.positional[i]);
  rest.named = a.named;
  return rest;
}

Value map(Interpreter& in, const Value& v, const Arguments& a) {
  std::vector<Value> out;
  if (!is_true(v)) return in.list({}, List::generator);  // None too, as in jinja2
  if (a.positional.empty()) {
    const Value* attribute = a.find(SIZE_MAX, "attribute");
    if (!attribute) fail("map needs a filter or an attribute");
    const Value* otherwise = a.find(SIZE_MAX, "default");
    for (Value& item : in.items_of(v)) {
      Value found = attribute_path(in, std::move(item), *attribute);
      out.push_back(found.is_undefined() && otherwise ? *otherwise : std::move(found));
    }
  } else {
    const std::string name = text_argument(a.find(0, ""), "map").bytes;
    const Arguments rest = after(a, 1);
    for (const Value& item : in.items_of(v)) out.push_back(apply_filter(in, name, item, rest));
  }
  return in.list(std::move(out), List::generator);
}

Value choose(Interpreter& in, const Value& v, const Arguments& a, bool by_attribute, bool wanted) {
  const Value* attribute = by_attribute ? a.find(0, "") : nullptr;
  if (by_attribute && !attribute) fail("selectattr and rejectattr need an attribute");
  const size_t at = by_attribute ? 1 : 0;
  const bool has_name = a.positional.size() > at;
  const std::string test = has_name ? text_argument(&a.positional[at], "the name of the test").bytes : "";
  const Arguments rest = after(a, at + 1);
  std::vector<Value> out;
  if (!is_true(v)) return in.list({}, List::generator);
  for (Value& item : in.items_of(v)) {
    const Value subject = by_attribute ? attribute_path(in, item, *attribute) : item;
    if ((has_name ? apply_test(in, test, subject, rest) : is_true(subject)) == wanted)
      out.push_back(std::move(item));
  }
  return in.list(std::move(out), List::generator);
}

Value first_or_last(Interpreter& in, const Value& v, bool first) {
  if (v.text() || v.list()) {
    const Value found = v.list() && v.list()->kind == List::generator ? (v.list()->items.empty() ? Value()
                                                                         : first ? v.list()->items.front()
                                                                                 : v.list()->items.back())
                                                                      : in.item_of(v, first ? 0 : -1);
    return found;
  }
  const auto items = in.items_of(v);
  return items.empty() ? Value() : first ? items.front() : items.back();
}

Value length(Interpreter&, const Value& v, const Arguments&) {
  if (const Text* t = v.text()) return character_count(t->bytes);
  if (const List* l = v.list(); l && l->kind != List::generator) return l->items.size();
  if (const Dict* d = v.dict()) return d->items.size();
  if (v.is_undefined()) return 0;
  fail(fmt::format("{} has no length", type_name(v)));
}

Value reverse(Interpreter& in, const Value& v, const Arguments&) {
  std::vector<Value> items = in.items_of(v);
  std::ranges::reverse(items);
  return v.text() ? join(in, make_literal(""), items) : in.list(std::move(items), List::generator);
}

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
  if (!(std::fabs(d) < 9.2e18)) return otherwise;
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
    return integer ? Value(static_cast<int64_t>(rounded)) : Value(rounded);
  }
  if (integer) return to_int(v, "");
  // The C library rounds the exact binary value, ties to even, which is what Python's round() does.
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), d);
  return std::strtod(buffer, nullptr);
}

Value sum(Interpreter& in, const Value& v, const Arguments& a) {
  const Value* attribute = a.find(0, "attribute");
  const Value* start = a.find(1, "start");
  Value total = start ? *start : Value(0);
  for (Value& item : in.items_of(v)) {
    total = in.arithmetic(
        "+", total,
        attribute && !attribute->is_none() ? attribute_path(in, std::move(item), *attribute) : item);
  }
  return total;
}

Value join_filter(Interpreter& in, const Value& v, const Arguments& a) {
  const Value* separator = a.find(0, "d");
  const Value* attribute = a.find(1, "attribute");
  std::vector<Value> items = in.items_of(v);
  if (attribute && !attribute->is_none()) {
    for (Value& item : items) item = attribute_path(in, std::move(item), *attribute);
  }
  return join(in, separator ? *separator : in.text(""), items);
}

Value absolute(Interpreter& in, const Value& v, const Arguments&) {
  if (const double* d = v.get<double>()) return std::fabs(*d);
  return to_int(v, "the value of abs") < 0 ? in.arithmetic("-", 0, v) : Value(to_int(v, ""));
}

Value items_filter(Interpreter& in, const Value& v, const Arguments&) {
  if (v.is_undefined()) return in.list({}, List::generator);
  if (!v.dict()) fail(fmt::format("items needs a dict, not {}", type_name(v)));
  std::vector<Value> items;
  for (const auto& [key, value] : v.dict()->items) items.push_back(in.list({key, value}, List::tuple));
  return in.list(std::move(items), List::generator);
}

Value batch(Interpreter& in, const Value& v, const Arguments& a) {
  const Value* size = a.find(0, "linecount");
  const int64_t n = size ? to_int(*size, "the size of a batch") : 0;
  if (n <= 0) fail("batch needs a size above 0");
  const Value* fill = a.find(1, "fill_with");
  std::vector<Value> out, row;
  const auto flush = [&] { out.push_back(in.list(std::exchange(row, {}))); };
  for (Value& item : in.items_of(v)) {
    if (static_cast<int64_t>(row.size()) == n) flush();
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    while (fill && !fill->is_none() && static_cast<int64_t>(row.size()) < n) {
      in.budget().take_steps();
      row.push_back(*fill);
    }
    flush();
  }
  return in.list(std::move(out), List::generator);
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

struct Entry {
  std::string_view name;
  Filter filter;
};
const Entry filters[] = {
    {"abs", absolute},
    {"attr",
     [](Interpreter& in, const Value& v, const Arguments& a) {
       return in.attribute_of(v, text_argument(a.find(0, "name"), "attr").bytes);
     }},
    {"batch", batch},
    {"capitalize", case_filter<Case::capitalize>},
    {"count", length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dict_sort},
    {"e", [](Interpreter& in, const Value& v, const Arguments&) { return escape_html(in, v); }},
    {"escape", [](Interpreter& in, const Value& v, const Arguments&) { return escape_html(in, v); }},
    {"first", [](Interpreter& in, const Value& v, const Arguments&) { return first_or_last(in, v, true); }},
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
    {"groupby", group_by},
    {"indent", indent},
    {"int", to_integer},
    {"items", items_filter},
    {"join", join_filter},
    {"last", [](Interpreter& in, const Value& v, const Arguments&) { return first_or_last(in, v, false); }},
    {"length", length},
    {"list", [](Interpreter& in, const Value& v, const Arguments&) { return in.list(in.items_of(v)); }},
    {"lower", case_filter<Case::lower>},
    {"map", map},
    {"max", [](Interpreter& in, const Value& v, const Arguments& a) { return extreme(in, v, a, true); }},
    {"min", [](Interpreter& in, const Value& v, const Arguments& a) { return extreme(in, v, a, false); }},
    {"reject",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, false, false); }},
    {"rejectattr",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, true, false); }},
    {"replace", replace_filter},
    {"reverse", reverse},
    {"round", round},
    {"safe",
     [](Interpreter& in, const Value& v, const Arguments&) {
       TextBuilder out(in.budget());
       out.append(v);
       return out.finish(true);
     }},
    {"select",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, false, true); }},
    {"selectattr",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, true, true); }},
    {"sort", sort},
    {"string", [](Interpreter& in, const Value& v, const Arguments&) { return to_text(in, v); }},
    {"sum", sum},
    {"title", title},
    {"tojson", to_json},
    {"trim",
     [](Interpreter& in, const Value& v, const Arguments& a) {
       const Value text = to_text(in, v);
       return strip(in, *text.text(), a.find(0, "chars"), true, true);
     }},
    {"truncate", truncate},
    {"unique", unique},
    {"upper", case_filter<Case::upper>},
    {"urlencode", url_encode},
    {"wordcount", word_count},
};

const Entry* find_filter(std::string_view name) {
  const auto found = std::ranges::find(filters, name, &Entry::name);
  return found == std::end(filters) ? nullptr : found;
}

}  // namespace

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value apply_filter(Interpreter& in, const std::string& name, const Value& v, const Arguments& a) {
  const Entry* found = find_filter(name);
  if (!found) fail(fmt::format("the filter '{}' is unknown", name.substr(0, 40)));
  in.budget().take_steps();
  return found->filter(in, v, a);
}

}  // namespace carat::jinja
