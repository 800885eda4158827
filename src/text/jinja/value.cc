#include "text/jinja/value.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace carat::jinja {

void fail(std::string message) { throw Failure{std::move(message), false}; }

namespace {

constexpr int max_value_depth = 100;

int depth_of(const Value& v) {
  if (const List* l = v.list()) return l->depth;
  if (const Dict* d = v.dict()) return d->depth;
  return 0;
}

constexpr uint64_t max_value_weight = uint64_t{1} << 26;

/// Depth and weight of a container of values.
struct Extent {
  int depth = 1;
  uint64_t weight = 1;
  void add(const Value& v) {
    depth = std::max(depth, depth_of(v) + 1);
    weight += weight_of(v);
    if (depth > max_value_depth || weight > max_value_weight) fail("values nest too deeply");
  }
};

/// Python compares 2**53 + 1 with a float exactly; so do we for what a double holds.
bool numbers_equal(const Value& a, const Value& b) {
  if (a.get<double>() || b.get<double>()) return to_double(a) == to_double(b);
  return to_int(a, "") == to_int(b, "");
}

template <class Compare>
bool lists_equal(const std::vector<Value>& a, const std::vector<Value>& b, Compare compare) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), compare);
}

}  // namespace

uint64_t weight_of(const Value& v) {
  if (const Text* t = v.text()) return 1 + t->size() / 16;
  if (const List* l = v.list()) return l->weight;
  if (const Dict* d = v.dict()) return d->weight;
  return 1;
}

std::string_view type_name(const Value& v) {
  if (v.is_undefined()) return "undefined";
  if (v.is_none()) return "None";
  if (v.get<bool>()) return "bool";
  if (v.get<int64_t>()) return "int";
  if (v.get<double>()) return "float";
  if (v.text()) return "str";
  if (const List* l = v.list())
    return l->kind == List::tuple ? "tuple" : l->kind == List::list ? "list" : "generator";
  if (v.dict()) return "dict";
  if (v.space()) return "namespace";
  if (v.loop()) return "loop";
  return "function";
}

bool is_true(const Value& v) {
  if (v.is_undefined() || v.is_none()) return false;
  if (const bool* b = v.get<bool>()) return *b;
  if (const int64_t* i = v.get<int64_t>()) return *i != 0;
  if (const double* d = v.get<double>()) return *d != 0;
  if (const Text* t = v.text()) return t->size() > 0;
  if (const List* l = v.list()) return l->kind == List::generator || !l->items.empty();
  if (const Dict* d = v.dict()) return !d->items.empty();
  return true;
}

double to_double(const Value& v) {
  if (const bool* b = v.get<bool>()) return *b ? 1 : 0;
  if (const int64_t* i = v.get<int64_t>()) return static_cast<double>(*i);
  if (const double* d = v.get<double>()) return *d;
  fail(fmt::format("a number is needed, not {}", type_name(v)));
}

int64_t to_int(const Value& v, std::string_view what) {
  if (const bool* b = v.get<bool>()) return *b ? 1 : 0;
  if (const int64_t* i = v.get<int64_t>()) return *i;
  fail(fmt::format("{} must be an integer, not {}", what, type_name(v)));
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return numbers_equal(a, b);
  if (a.is_undefined() || a.is_none()) return a.is_undefined() ? b.is_undefined() : b.is_none();
  if (a.text() && b.text()) return a.text()->bytes == b.text()->bytes;
  if (const List* x = a.list(), *y = b.list(); x && y) {
    return (x->kind == List::tuple) == (y->kind == List::tuple) && lists_equal(x->items, y->items, equal);
  }
  if (const Dict* x = a.dict(), *y = b.dict(); x && y) {
    return x->items.size() == y->items.size() && std::ranges::all_of(x->items, [&](const auto& item) {
             const Value* other = y->find(item.first);
             return other && equal(item.second, *other);
           });
  }
  if (a.space()) return a.space() == b.space();
  if (a.loop()) return a.loop() == b.loop();
  return a.function() && a.function() == b.function();
}

bool less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.get<double>() || b.get<double>()) return to_double(a) < to_double(b);
    return to_int(a, "") < to_int(b, "");
  }
  // Code point order is byte order in UTF-8.
  if (a.text() && b.text()) return a.text()->bytes < b.text()->bytes;
  if (const List* x = a.list(), *y = b.list(); x && y) {
    for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
      if (!equal(x->items[i], y->items[i])) return less(x->items[i], y->items[i]);
    }
    return x->items.size() < y->items.size();
  }
  fail(fmt::format("{} and {} have no order", type_name(a), type_name(b)));
}

std::string key_of(const Value& v) {
  if (const Text* t = v.text()) return "s" + t->bytes;
  if (const double* d = v.get<double>()) {
    if (*d == std::floor(*d) && std::fabs(*d) < 9e18) return fmt::format("i{}", static_cast<int64_t>(*d));
    return "f" + format_double(*d);
  }
  if (v.is_number()) return fmt::format("i{}", to_int(v, ""));
  if (v.is_none()) return "n";
  if (const List* l = v.list(); l && l->kind == List::tuple && l->weight < 1000) {
    std::string key = "t";
    for (const Value& item : l->items) {
      const std::string part = key_of(item);
      key += fmt::format("{}:", part.size()) + part;
    }
    return key;
  }
  fail(fmt::format("{} cannot be a key", type_name(v)));
}

const Value* Dict::find(const Value& key) const {
  if (!key.text() && !key.is_number() && !key.is_none() && !key.list()) return nullptr;
  const auto found = index.find(key_of(key));
  return found == index.end() ? nullptr : &items[found->second].second;
}

Value* Namespace::find(std::string_view name) {
  for (auto& item : items) {
    if (item.first == name) return &item.second;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  if (Value* old = find(name)) {
    *old = std::move(value);
  } else {
    items.emplace_back(name, std::move(value));
  }
}

const Value* Arguments::find(size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& item : named) {
    if (item.first == name) return &item.second;
  }
  return nullptr;
}

/// Python's repr(float): the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
std::string format_double(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific).ptr;
  std::string_view s(buffer, static_cast<size_t>(end - buffer));
  std::string out;
  if (s[0] == '-') out = "-", s.remove_prefix(1);
  const size_t e = s.find('e');
  int exponent = 0;
  const char* digits_of_exponent = s.data() + e + 1 + (s[e + 1] == '+' ? 1 : 0);
  std::from_chars(digits_of_exponent, s.data() + s.size(), exponent);
  std::string digits(1, s[0]);
  if (e > 2) digits += s.substr(2, e - 2);
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::vector<uint32_t> character_offsets(std::string_view text) {
  std::vector<uint32_t> offsets;
  for (size_t at = 0; at < text.size(); at += std::max<size_t>(1, utf8_length(text, at))) {
    offsets.push_back(static_cast<uint32_t>(at));
  }
  offsets.push_back(static_cast<uint32_t>(text.size()));
  return offsets;
}

size_t character_count(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); ++n) at += std::max<size_t>(1, utf8_length(text, at));
  return n;
}

bool is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_letter(uint32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_number(uint32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

Value TextBuilder::finish(bool markup) {
  Share share(budget_, 2 * bytes_.size());
  return std::shared_ptr<const Text>(
      std::make_shared<Text>(Text{std::move(bytes_), std::move(trust_), std::move(share), markup}));
}

void TextBuilder::append(const Value& v) {
  if (const Text* t = v.text()) {
    append(*t);
  } else if (!v.is_undefined()) {
    append_repr(v);
  }
}

void TextBuilder::append_repr(const Value& v, int depth) {
  budget_->take_steps();
  if (depth > max_value_depth) fail("values nest too deeply to print");
  if (v.is_undefined()) return append("Undefined", true);
  if (v.is_none()) return append("None", true);
  if (const bool* b = v.get<bool>()) return append(*b ? "True" : "False", true);
  if (const int64_t* i = v.get<int64_t>()) return append(fmt::format("{}", *i), true);
  if (const double* d = v.get<double>()) return append(format_double(*d), true);
  if (const Text* t = v.text()) return append_text_repr(*t);
  if (const List* l = v.list()) {
    const bool tuple = l->kind == List::tuple;
    append(tuple ? "(" : "[", true);
    for (size_t i = 0; i < l->items.size(); ++i) {
      if (i > 0) append(", ", true);
      append_repr(l->items[i], depth + 1);
    }
    return append(!tuple ? "]" : l->items.size() == 1 ? ",)" : ")", true);
  }
  if (const Dict* d = v.dict()) {
    append("{", true);
    for (size_t i = 0; i < d->items.size(); ++i) {
      if (i > 0) append(", ", true);
      append_repr(d->items[i].first, depth + 1);
      append(": ", true);
      append_repr(d->items[i].second, depth + 1);
    }
    return append("}", true);
  }
  if (const Function* f = v.function(); f && f->macro)
    return append(fmt::format("<Macro '{}'>", f->name), true);
  append(fmt::format("<{}>", type_name(v)), true);
}

void TextBuilder::append_text_repr(const Text& t) {
  const bool has_single = t.bytes.find('\'') != std::string::npos;
  const bool has_double = t.bytes.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  if (t.markup) append("Markup(", true);
  append(std::string_view(&quote, 1), true);
  for (size_t at = 0; at < t.size();) {
    const size_t n = utf8_length(t.bytes, at);
    const uint32_t c = n == 0 ? static_cast<uint8_t>(t.bytes[at]) : utf8_code_point(t.bytes, at, n);
    const bool trusted = t.trust[at] == 't';
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    const bool printable =
        n > 0 && (c == ' ' || !(category == UTF8PROC_CATEGORY_CN ||
                                (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_CO)));
    if (c == '\n') {
      append("\\n", trusted);
    } else if (c == '\r') {
      append("\\r", trusted);
    } else if (c == '\t') {
      append("\\t", trusted);
    } else if (c == '\\' || c == static_cast<uint32_t>(quote)) {
      append(std::string{'\\', static_cast<char>(c)}, trusted);
    } else if (printable) {
      append(t, at, at + n);
    } else if (c < 0x100) {
      append(fmt::format("\\x{:02x}", c), trusted);
    } else {
      append(c < 0x10000 ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c), trusted);
    }
    at += n == 0 ? 1 : n;
  }
  append(std::string_view(&quote, 1), true);
  if (t.markup) append(")", true);
}

Value make_text(Budget& budget, std::string_view s, bool trusted) {
  TextBuilder b(budget);
  b.append(s, trusted);
  return b.finish();
}

Value make_literal(std::string s) {
  std::string trust(s.size(), 't');
  return std::shared_ptr<const Text>(std::make_shared<Text>(Text{std::move(s), std::move(trust), {}, false}));
}

Value slice_text(Budget& budget, const Text& t, size_t begin, size_t end, bool markup) {
  TextBuilder b(budget);
  if (begin < end) b.append(t, begin, end);
  return b.finish(markup);
}

Value make_list(Budget& budget, std::vector<Value> items, List::Kind kind) {
  Extent extent;
  for (const Value& v : items) extent.add(v);
  Share share(&budget, sizeof(List) + items.size() * sizeof(Value));
  return std::shared_ptr<const List>(
      std::make_shared<List>(List{kind, std::move(items), extent.depth, extent.weight, std::move(share)}));
}

Value make_dict(Budget& budget, std::vector<std::pair<Value, Value>> items) {
  auto d = std::make_shared<Dict>(Dict{{}, {}, 1, 1, Share(&budget, sizeof(Dict) + items.size() * 160)});
  Extent extent;
  for (auto& item : items) {
    extent.add(item.first);
    extent.add(item.second);
    const auto [at, fresh] = d->index.try_emplace(key_of(item.first), d->items.size());
    if (fresh) {
      d->items.push_back(std::move(item));
    } else {
      d->items[at->second].second = std::move(item.second);
    }
  }
  d->depth = extent.depth;
  d->weight = extent.weight;
  return std::shared_ptr<const Dict>(std::move(d));
}

namespace {

void append_json_string(TextBuilder& out, const Text& t, bool ensure_ascii) {
  out.append("\"", true);
  for (size_t at = 0; at < t.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(t.bytes, at));
    const auto c = static_cast<uint8_t>(t.bytes[at]);
    const bool trusted = t.trust[at] == 't';
    constexpr std::string_view named = "\"\"\\\\\bb\ff\nn\rr\tt";
    if (n == 1 && (c < 0x20 || c == '"' || c == '\\')) {
      size_t i = 0;
      while (i < named.size() && named[i] != static_cast<char>(c)) i += 2;
      out.append(i < named.size() ? std::string{'\\', named[i + 1]} : fmt::format("\\u{:04x}", c), trusted);
    } else if (ensure_ascii && n > 1) {
      const uint32_t p = utf8_code_point(t.bytes, at, n);
      out.append(p < 0x10000 ? fmt::format("\\u{:04x}", p)
                             : fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((p - 0x10000) >> 10),
                                           0xdc00 + ((p - 0x10000) & 0x3ff)),
                 trusted);
    } else {
      out.append(t, at, at + n);
    }
    at += n;
  }
  out.append("\"", true);
}

/// Keys that are no strings become the JSON of their value in quotes.
void append_json_key(TextBuilder& out, const Value& key, const JsonStyle& style) {
  if (const Text* t = key.text()) return append_json_string(out, *t, style.ensure_ascii);
  if (!key.is_number() && !key.is_none()) fail(fmt::format("{} cannot be a key of JSON", type_name(key)));
  out.append("\"", true);
  append_json(out, key, style);
  out.append("\"", true);
}

}  // namespace

void append_json(TextBuilder& out, const Value& v, const JsonStyle& style, int depth) {
  if (depth > max_value_depth) fail("values nest too deeply for JSON");
  const auto new_line = [&](int level) {
    if (style.indent < 0) return;
    out.append("\n", true);
    out.append(std::string(static_cast<size_t>(style.indent) * static_cast<size_t>(level), ' '), true);
  };
  if (v.is_none()) return out.append("null", true);
  if (const bool* b = v.get<bool>()) return out.append(*b ? "true" : "false", true);
  if (const double* d = v.get<double>()) {
    return out.append(std::isnan(*d)   ? "NaN"
                      : std::isinf(*d) ? (*d < 0 ? "-Infinity" : "Infinity")
                                       : format_double(*d),
                      true);
  }
  if (v.is_number()) return out.append(fmt::format("{}", to_int(v, "")), true);
  if (const Text* t = v.text()) return append_json_string(out, *t, style.ensure_ascii);
  if (const List* l = v.list(); l && (l->kind == List::list || l->kind == List::tuple)) {
    if (l->items.empty()) return out.append("[]", true);
    out.append("[", true);
    for (size_t i = 0; i < l->items.size(); ++i) {
      if (i > 0) out.append(style.item_separator, true);
      new_line(depth + 1);
      append_json(out, l->items[i], style, depth + 1);
    }
    new_line(depth);
    return out.append("]", true);
  }
  if (const Dict* d = v.dict()) {
    if (d->items.empty()) return out.append("{}", true);
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : d->items) items.push_back(&item);
    if (style.sort_keys) {
      std::ranges::stable_sort(items, [](const auto* a, const auto* b) { return less(a->first, b->first); });
    }
    out.append("{", true);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out.append(style.item_separator, true);
      new_line(depth + 1);
      append_json_key(out, items[i]->first, style);
      out.append(style.key_separator, true);
      append_json(out, items[i]->second, style, depth + 1);
    }
    new_line(depth);
    return out.append("}", true);
  }
  fail(fmt::format("{} cannot be written as JSON", type_name(v)));
}

}  // namespace carat::jinja
