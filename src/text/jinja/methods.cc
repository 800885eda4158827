// Methods of strings, lists, dicts and loops, and the global functions. Methods that change a list or dict
// are refused, as in jinja2's immutable sandbox, which Hugging Face's transformers uses.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <ctime>

#include "text/jinja/methods.h"
#include "text/utf8.h"

namespace carat::jinja {
namespace {

const Text& self(const Function& f) { return *f.self.text(); }

int64_t count_argument(const Value* v, int64_t otherwise) {
  return v && !v->is_none() ? to_int(*v, "the count") : otherwise;
}

bool is_decimal(uint32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

/// Whether the text has characters and all are of a kind.
template <class Is>
Value all_are(const Text& t, Is is) {
  for (size_t at = 0; at < t.size();) {
    const size_t n = utf8_length(t.bytes, at);
    if (n == 0 || !is(utf8_code_point(t.bytes, at, n))) return false;
    at += n;
  }
  return t.size() > 0;
}

Value split_at_spaces(Interpreter& in, const Text& t, int64_t limit) {
  std::vector<Value> parts;
  const auto space_at = [&](size_t at) {
    const size_t n = utf8_length(t.bytes, at);
    return n > 0 && is_space(utf8_code_point(t.bytes, at, n)) ? n : size_t{0};
  };
  in.budget().take_steps(t.size() / 16);
  for (size_t at = 0;;) {
    while (at < t.size() && space_at(at)) at += space_at(at);
    if (at >= t.size()) break;
    size_t end = at;
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      const Value rest = slice_text(in.budget(), t, at, t.size());
      parts.push_back(strip(in, *rest.text(), nullptr, false, true));
      break;
    }
    while (end < t.size() && !space_at(end)) end += std::max<size_t>(1, utf8_length(t.bytes, end));
    parts.push_back(slice_text(in.budget(), t, at, end));
    in.budget().take_steps();
    at = end;
  }
  return in.list(std::move(parts));
}

Value split(Interpreter& in, const Function& f, const Arguments& a) {
  const Text& t = self(f);
  const Value* separator = a.find(0, "sep");
  const int64_t limit = count_argument(a.find(1, "maxsplit"), -1);
  if (!separator || separator->is_none()) return split_at_spaces(in, t, limit);
  const Text& by = text_argument(separator, "split");
  if (by.size() == 0) fail("split needs a separator that is not empty");
  std::vector<Value> parts;
  size_t at = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = t.bytes.find(by.bytes, at);
    if (found == std::string::npos) break;
    in.budget().take_steps();
    parts.push_back(slice_text(in.budget(), t, at, found));
    at = found + by.size();
  }
  parts.push_back(slice_text(in.budget(), t, at, t.size()));
  return in.list(std::move(parts));
}

Value split_from_right(Interpreter& in, const Function& f, const Arguments& a) {
  const Text& t = self(f);
  const Value* separator = a.find(0, "sep");
  const int64_t limit = count_argument(a.find(1, "maxsplit"), -1);
  if (limit < 0) return split(in, f, a);
  const Text& by = text_argument(separator, "rsplit");
  if (by.size() == 0) fail("rsplit needs a separator that is not empty");
  std::vector<Value> parts;
  size_t end = t.size();
  while (static_cast<int64_t>(parts.size()) < limit && end >= by.size()) {
    const size_t found = t.bytes.rfind(by.bytes, end - by.size());
    if (found == std::string::npos) break;
    in.budget().take_steps(1 + t.size() / 64);
    parts.push_back(slice_text(in.budget(), t, found + by.size(), end));
    end = found;
  }
  parts.push_back(slice_text(in.budget(), t, 0, end));
  std::ranges::reverse(parts);
  return in.list(std::move(parts));
}

Value partition(Interpreter& in, const Text& t, const Text& by, bool from_right) {
  if (by.size() == 0) fail("partition needs a separator that is not empty");
  const size_t found = from_right ? t.bytes.rfind(by.bytes) : t.bytes.find(by.bytes);
  const auto part = [&](size_t begin, size_t end) { return slice_text(in.budget(), t, begin, end); };
  if (found == std::string::npos) {
    return from_right ? in.list({part(0, 0), part(0, 0), part(0, t.size())}, List::tuple)
                      : in.list({part(0, t.size()), part(0, 0), part(0, 0)}, List::tuple);
  }
  return in.list({part(0, found), part(found, found + by.size()), part(found + by.size(), t.size())},
                 List::tuple);
}

/// startswith and endswith: one text or a tuple of them.
Value has_affix(const Function& f, const Arguments& a, bool at_start) {
  const Value* v = a.find(0, "prefix");
  const auto matches = [&](const Value& affix) {
    const Text& t = text_argument(&affix, f.name);
    return at_start ? self(f).bytes.starts_with(t.bytes) : self(f).bytes.ends_with(t.bytes);
  };
  if (v && v->list() && v->list()->kind == List::tuple) return std::ranges::any_of(v->list()->items, matches);
  if (!v) fail(fmt::format("{} needs a string", f.name));
  return matches(*v);
}

Value find(Interpreter& in, const Function& f, const Arguments& a, bool from_right, bool must) {
  const Text& wanted = text_argument(a.find(0, "sub"), f.name);
  const std::string& s = self(f).bytes;
  in.budget().take_steps(s.size() / 16);
  const auto offsets = character_offsets(s);
  const auto bound = [&](size_t position, size_t otherwise) {
    const Value* v = a.find(position, "");
    if (!v || v->is_none()) return otherwise;
    int64_t i = to_int(*v, "a bound");
    const auto size = static_cast<int64_t>(offsets.size()) - 1;
    if (i < 0) i += size;
    return static_cast<size_t>(std::clamp<int64_t>(i, 0, size));
  };
  const size_t begin = offsets[bound(1, 0)], end = offsets[bound(2, offsets.size() - 1)];
  const std::string_view range =
      begin <= end ? std::string_view(s).substr(begin, end - begin) : std::string_view{};
  const size_t at = from_right ? range.rfind(wanted.bytes) : range.find(wanted.bytes);
  if (at == std::string_view::npos || begin > end) {
    if (must) fail("the text to find is not there");
    return -1;
  }
  return character_count(std::string_view(s).substr(0, begin + at));
}

Value pad(Interpreter& in, const Function& f, const Arguments& a) {
  const Text& t = self(f);
  const Value* width = a.find(0, "width");
  if (!width) fail(fmt::format("{} needs a width", f.name));
  const int64_t missing =
      std::max<int64_t>(0, to_int(*width, "the width") - static_cast<int64_t>(character_count(t.bytes)));
  if (static_cast<uint64_t>(missing) > in.budget().bytes_left) fail("the template makes too much text");
  const bool zeros = f.name == "zfill";
  const Value* given = a.find(1, "fillchar");
  const Value fill = given ? *given : in.text(zeros ? "0" : " ");
  const size_t sign = zeros && t.size() > 0 && (t.bytes[0] == '-' || t.bytes[0] == '+') ? 1 : 0;
  const int64_t before =
      f.name == "ljust" ? 0
      : f.name == "center"
          ? missing / 2 +
                (missing & static_cast<int64_t>(character_count(t.bytes) + static_cast<size_t>(missing)) & 1)
          : missing;
  TextBuilder out(in.budget());
  out.append(t, 0, sign);
  for (int64_t i = 0; i < before; ++i) out.append(text_argument(&fill, f.name));
  out.append(t, sign, t.size());
  for (int64_t i = before; i < missing; ++i) out.append(text_argument(&fill, f.name));
  return out.finish();
}

/// str.format with {}, {0} and {name}, without format specifications.
Value format_braces(Interpreter& in, const Function& f, const Arguments& a) {
  const Text& t = self(f);
  TextBuilder out(in.budget());
  size_t automatic = 0;
  for (size_t at = 0; at < t.size();) {
    const char c = t.bytes[at];
    if ((c == '{' || c == '}') && at + 1 < t.size() && t.bytes[at + 1] == c) {
      out.append(t, at, at + 1);
      at += 2;
      continue;
    }
    if (c == '}') fail("a format string has a '}' alone");
    if (c != '{') {
      const size_t end = std::min(t.bytes.find_first_of("{}", at), t.size());
      out.append(t, at, end);
      at = end;
      continue;
    }
    const size_t close = t.bytes.find('}', at);
    if (close == std::string::npos) fail("a format string has a '{' that is not closed");
    const std::string field = t.bytes.substr(at + 1, close - at - 1);
    if (field.find_first_of(".[!:") != std::string::npos) fail("format supports {}, {0} and {name} only");
    const bool digits = !field.empty() && field.size() < 4 &&
                        std::ranges::all_of(field, [](char d) { return d >= '0' && d <= '9'; });
    const Value* v = field.empty() ? a.find(automatic++, "")
                     : digits      ? a.find(static_cast<size_t>(std::stoi(field)), "")
                                   : a.find(SIZE_MAX, field);
    if (!v) fail("an argument of format is missing");
    out.append(*v);
    at = close + 1;
  }
  return out.finish();
}

const Method text_methods[] = {
    {"strip", [](Interpreter& in, const Function& f,
                 const Arguments& a) { return strip(in, self(f), a.find(0, "chars"), true, true); }},
    {"lstrip", [](Interpreter& in, const Function& f,
                  const Arguments& a) { return strip(in, self(f), a.find(0, "chars"), true, false); }},
    {"rstrip", [](Interpreter& in, const Function& f,
                  const Arguments& a) { return strip(in, self(f), a.find(0, "chars"), false, true); }},
    {"split", split},
    {"rsplit", split_from_right},
    {"splitlines",
     [](Interpreter& in, const Function& f, const Arguments&) { return in.list(split_lines(in, self(f))); }},
    {"partition",
     [](Interpreter& in, const Function& f, const Arguments& a) {
       return partition(in, self(f), text_argument(a.find(0, "sep"), f.name), false);
     }},
    {"rpartition",
     [](Interpreter& in, const Function& f, const Arguments& a) {
       return partition(in, self(f), text_argument(a.find(0, "sep"), f.name), true);
     }},
    {"startswith", [](Interpreter&, const Function& f, const Arguments& a) { return has_affix(f, a, true); }},
    {"endswith", [](Interpreter&, const Function& f, const Arguments& a) { return has_affix(f, a, false); }},
    {"removeprefix",
     [](Interpreter& in, const Function& f, const Arguments& a) {
       const Text& affix = text_argument(a.find(0, "prefix"), f.name);
       const Text& t = self(f);
       return slice_text(in.budget(), t, t.bytes.starts_with(affix.bytes) ? affix.size() : 0, t.size());
     }},
    {"removesuffix",
     [](Interpreter& in, const Function& f, const Arguments& a) {
       const Text& affix = text_argument(a.find(0, "suffix"), f.name);
       const Text& t = self(f);
       return slice_text(in.budget(), t, 0,
                         t.bytes.ends_with(affix.bytes) ? t.size() - affix.size() : t.size());
     }},
    {"replace",
     [](Interpreter& in, const Function& f, const Arguments& a) {
       return replace(in, self(f), text_argument(a.find(0, "old"), f.name),
                      text_argument(a.find(1, "new"), f.name), count_argument(a.find(2, "count"), -1));
     }},
    {"upper", [](Interpreter& in, const Function& f,
                 const Arguments&) { return change_case(in, self(f), Case::upper); }},
    {"lower", [](Interpreter& in, const Function& f,
                 const Arguments&) { return change_case(in, self(f), Case::lower); }},
    {"casefold", [](Interpreter& in, const Function& f,
                    const Arguments&) { return change_case(in, self(f), Case::lower); }},
    {"title", [](Interpreter& in, const Function& f,
                 const Arguments&) { return change_case(in, self(f), Case::title); }},
    {"capitalize", [](Interpreter& in, const Function& f,
                      const Arguments&) { return change_case(in, self(f), Case::capitalize); }},
    {"swapcase", [](Interpreter& in, const Function& f,
                    const Arguments&) { return change_case(in, self(f), Case::swap); }},
    {"find",
     [](Interpreter& in, const Function& f, const Arguments& a) { return find(in, f, a, false, false); }},
    {"rfind",
     [](Interpreter& in, const Function& f, const Arguments& a) { return find(in, f, a, true, false); }},
    {"index",
     [](Interpreter& in, const Function& f, const Arguments& a) { return find(in, f, a, false, true); }},
    {"rindex",
     [](Interpreter& in, const Function& f, const Arguments& a) { return find(in, f, a, true, true); }},
    {"count",
     [](Interpreter& in, const Function& f, const Arguments& a) -> Value {
       const Text& wanted = text_argument(a.find(0, "sub"), f.name);
       const std::string& s = self(f).bytes;
       in.budget().take_steps(s.size() / 16);
       if (wanted.size() == 0) return character_count(s) + 1;
       size_t n = 0;
       for (size_t at = s.find(wanted.bytes); at != std::string::npos;
            at = s.find(wanted.bytes, at + wanted.size()))
         ++n;
       return n;
     }},
    {"join",
     [](Interpreter& in, const Function& f, const Arguments& a) {
       const Value* v = a.find(0, "iterable");
       if (!v) fail("join needs something to iterate");
       const auto items = in.items_of(*v);
       for (const Value& item : items) text_argument(&item, "join");
       return join(in, f.self, items);
     }},
    {"format", format_braces},
    {"ljust", pad},
    {"rjust", pad},
    {"center", pad},
    {"zfill", pad},
    {"isspace", [](Interpreter&, const Function& f, const Arguments&) { return all_are(self(f), is_space); }},
    {"isdigit",
     [](Interpreter&, const Function& f, const Arguments&) { return all_are(self(f), is_decimal); }},
    {"isdecimal",
     [](Interpreter&, const Function& f, const Arguments&) { return all_are(self(f), is_decimal); }},
    {"isnumeric",
     [](Interpreter&, const Function& f, const Arguments&) { return all_are(self(f), is_number); }},
    {"isalpha",
     [](Interpreter&, const Function& f, const Arguments&) { return all_are(self(f), is_letter); }},
    {"isalnum",
     [](Interpreter&, const Function& f, const Arguments&) {
       return all_are(self(f), [](uint32_t c) { return is_letter(c) || is_number(c); });
     }},
    {"isascii",
     [](Interpreter&, const Function& f, const Arguments&) -> Value {
       return std::ranges::all_of(self(f).bytes, [](char c) { return static_cast<uint8_t>(c) < 0x80; });
     }},
    {"isupper",
     [](Interpreter&, const Function& f, const Arguments&) -> Value {
       return has_case(self(f), Case::upper);
     }},
    {"islower",
     [](Interpreter&, const Function& f, const Arguments&) -> Value {
       return has_case(self(f), Case::lower);
     }},
};

const Method dict_methods[] = {
    {"items",
     [](Interpreter& in, const Function& f, const Arguments&) {
       std::vector<Value> items;
       for (const auto& [key, value] : f.self.dict()->items)
         items.push_back(in.list({key, value}, List::tuple));
       return in.list(std::move(items), List::view);
     }},
    {"keys", [](Interpreter& in, const Function& f,
                const Arguments&) { return in.list(in.items_of(f.self), List::view); }},
    {"values",
     [](Interpreter& in, const Function& f, const Arguments&) {
       std::vector<Value> values;
       for (const auto& item : f.self.dict()->items) values.push_back(item.second);
       return in.list(std::move(values), List::view);
     }},
    {"get",
     [](Interpreter&, const Function& f, const Arguments& a) -> Value {
       const Value* key = a.find(0, "key");
       if (!key) fail("get needs a key");
       if (const Value* found = f.self.dict()->find(*key)) return *found;
       const Value* otherwise = a.find(1, "default");
       return otherwise ? *otherwise : Value(None{});
     }},
    {"copy", [](Interpreter&, const Function& f, const Arguments&) { return f.self; }},
};

Value refuse(Interpreter&, const Function& f, const Arguments&) {
  fail(fmt::format("'{}' would change a list or dict, which templates may not", f.name));
}
constexpr std::string_view changing_dict[] = {"pop", "popitem", "clear", "update", "setdefault"};
constexpr std::string_view changing_list[] = {"append", "extend", "insert", "pop",
                                              "remove", "clear",  "sort",   "reverse"};

const Method list_methods[] = {
    {"count",
     [](Interpreter& in, const Function& f, const Arguments& a) -> Value {
       const Value* v = a.find(0, "value");
       if (!v) fail("count needs a value");
       in.budget().take_steps(1 + weight_of(f.self) / 16);
       return static_cast<int64_t>(
           std::ranges::count_if(f.self.list()->items, [&](const Value& item) { return equal(item, *v); }));
     }},
    {"index",
     [](Interpreter& in, const Function& f, const Arguments& a) -> Value {
       const Value* v = a.find(0, "value");
       if (!v) fail("index needs a value");
       in.budget().take_steps(1 + weight_of(f.self) / 16);
       const auto& items = f.self.list()->items;
       for (size_t i = 0; i < items.size(); ++i) {
         if (equal(items[i], *v)) return i;
       }
       fail("the value is not in the list");
     }},
    {"copy", [](Interpreter&, const Function& f, const Arguments&) { return f.self; }},
};

const Method loop_methods[] = {
    {"cycle",
     [](Interpreter&, const Function& f, const Arguments& a) -> Value {
       if (a.positional.empty()) fail("cycle needs values");
       return a.positional[f.self.loop()->index % a.positional.size()];
     }},
    {"changed",
     [](Interpreter& in, const Function& f, const Arguments& a) -> Value {
       TextBuilder printed(in.budget());
       for (const Value& v : a.positional) printed.append_repr(v), printed.append(",", true);
       Loop& loop = *f.self.loop();
       const bool changed = loop.changed != printed.bytes() || loop.index == 0;
       loop.changed = std::move(printed.bytes());
       return changed;
     }},
};

Value loop_attribute(const Value& v, std::string_view name) {
  const Loop& loop = *v.loop();
  const size_t n = loop.items.size(), i = loop.index;
  if (name == "index") return i + 1;
  if (name == "index0") return i;
  if (name == "revindex") return n - i;
  if (name == "revindex0") return n - i - 1;
  if (name == "first") return i == 0;
  if (name == "last") return i + 1 == n;
  if (name == "length") return n;
  if (name == "depth") return 1;  // of recursive loops, which there are none of
  if (name == "depth0") return 0;
  if (name == "previtem") return i > 0 ? loop.items[i - 1] : Value();
  if (name == "nextitem") return i + 1 < n ? loop.items[i + 1] : Value();
  return {};
}

}  // namespace

Value method_of(const Value& v, const std::string& name) {
  if (v.text()) return find_method(text_methods, name, v);
  if (v.loop()) {
    Value found = loop_attribute(v, name);
    return found.is_undefined() ? find_method(loop_methods, name, v) : found;
  }
  if (v.dict()) {
    if (std::ranges::find(changing_dict, name) != std::end(changing_dict)) return bind(name, v, refuse);
    return find_method(dict_methods, name, v);
  }
  if (const List* l = v.list(); l && (l->kind == List::list || l->kind == List::tuple)) {
    if (l->kind == List::list && std::ranges::find(changing_list, name) != std::end(changing_list))
      return bind(name, v, refuse);
    return find_method(list_methods, name, v);
  }
  return {};
}

}  // namespace carat::jinja
