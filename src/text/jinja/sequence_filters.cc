// Filters of lists, dicts and what else can be iterated.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/jinja/filters.h"
#include "text/utf8.h"

namespace carat::jinja {
namespace {

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
  if (const Text* t = v.text();
      t && first) {  // of markup too a plain character, but not the last: as in jinja2
    return t->size() == 0 ? Value()
                          : slice_text(in.budget(), *t, 0, std::max<size_t>(1, utf8_length(t->bytes, 0)));
  }
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

constexpr FilterEntry entries[] = {
    {"batch", batch},
    {"count", length},
    {"dictsort", dict_sort},
    {"first", [](Interpreter& in, const Value& v, const Arguments&) { return first_or_last(in, v, true); }},
    {"groupby", group_by},
    {"items", items_filter},
    {"join", join_filter},
    {"last", [](Interpreter& in, const Value& v, const Arguments&) { return first_or_last(in, v, false); }},
    {"length", length},
    {"list", [](Interpreter& in, const Value& v, const Arguments&) { return in.list(in.items_of(v)); }},
    {"map", map},
    {"max", [](Interpreter& in, const Value& v, const Arguments& a) { return extreme(in, v, a, true); }},
    {"min", [](Interpreter& in, const Value& v, const Arguments& a) { return extreme(in, v, a, false); }},
    {"reject",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, false, false); }},
    {"rejectattr",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, true, false); }},
    {"reverse", reverse},
    {"select",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, false, true); }},
    {"selectattr",
     [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, true, true); }},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return entries; }

}  // namespace carat::jinja
