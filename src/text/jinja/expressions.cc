// Evaluates expressions.
#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

namespace carat::jinja {
namespace {

/// Python's rules for an index or a bound of a slice.
int64_t clamp_bound(int64_t i, int64_t size, int64_t low, int64_t high) {
  if (i < 0) i += size;
  return std::clamp(i, low, high);
}

}  // namespace

Value Interpreter::evaluate(const Expression& e) {
  const Depth depth(*this);
  switch (e.kind) {
    case Expression::literal:
      return e.value;
    case Expression::name: {
      Value v = look_up(e.text);
      return v.is_undefined() ? Value(Undefined{&e.text}) : v;
    }
    case Expression::tuple:
      return evaluate_list(e, List::tuple);
    case Expression::list:
      return evaluate_list(e, List::list);
    case Expression::dict:
      return evaluate_dict(e);
    case Expression::attribute: {
      Value v = attribute_of(evaluate(*e.children[0]), e.text);
      return v.is_undefined() ? Value(Undefined{&e.text}) : v;
    }
    case Expression::item: {
      const Value object = evaluate(*e.children[0]);
      return item_of(object, evaluate(*e.children[1]));
    }
    case Expression::slice:
      return evaluate_slice(e);
    case Expression::call:
      return evaluate_call(e);
    case Expression::filter:
      return evaluate_filter(e, nullptr);
    case Expression::test: {
      if (!has_test(e.text)) fail(fmt::format("the test '{}' is unknown", e.text.substr(0, 40)));
      const Value v = evaluate(*e.children[0]);
      return apply_test(*this, e.text, v, evaluate_arguments(e.arguments));
    }
    case Expression::negative:
      return arithmetic("-", 0, evaluate(*e.children[0]));
    case Expression::positive:
      return arithmetic("+", 0, evaluate(*e.children[0]));
    case Expression::logical_not:
      return !is_true(evaluate(*e.children[0]));
    case Expression::logical_and:
    case Expression::logical_or: {
      Value left = evaluate(*e.children[0]);
      return is_true(left) == (e.kind == Expression::logical_or) ? left : evaluate(*e.children[1]);
    }
    case Expression::arithmetic: {
      const Value left = evaluate(*e.children[0]);
      return arithmetic(e.text, left, evaluate(*e.children[1]));
    }
    case Expression::concatenate:
      return concatenate(e);
    case Expression::compare:
      return evaluate_compare(e);
    case Expression::conditional:
      if (is_true(evaluate(*e.children[1]))) return evaluate(*e.children[0]);
      return e.children[2] ? evaluate(*e.children[2]) : Value();
  }
  return {};
}

Value Interpreter::concatenate(const Expression& e) {
  TextBuilder out(budget_);
  for (const auto& child : e.children) out.append(evaluate(*child));
  return out.finish();
}

Value Interpreter::evaluate_list(const Expression& e, List::Kind kind) {
  std::vector<Value> items;
  for (const auto& child : e.children) items.push_back(evaluate(*child));
  return list(std::move(items), kind);
}

Value Interpreter::evaluate_dict(const Expression& e) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i + 1 < e.children.size(); i += 2) {
    Value key = evaluate(*e.children[i]);
    items.emplace_back(std::move(key), evaluate(*e.children[i + 1]));
  }
  return make_dict(budget_, std::move(items));
}

Value Interpreter::evaluate_slice(const Expression& e) {
  const Value object = evaluate(*e.children[0]);
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) bounds[i] = e.children[i + 1] ? evaluate(*e.children[i + 1]) : Value(None{});
  const Text* t = object.text();
  const List* l = object.list();
  if (!t && (!l || l->kind == List::generator)) fail(fmt::format("{} cannot be sliced", type_name(object)));
  const int64_t step = bounds[2].is_none() ? 1 : to_int(bounds[2], "the step of a slice");
  if (step == 0) fail("the step of a slice cannot be 0");
  const std::vector<uint32_t> offsets = t ? character_offsets(t->bytes) : std::vector<uint32_t>{};
  const auto size = static_cast<int64_t>(t ? offsets.size() - 1 : l->items.size());
  budget_.take_steps(static_cast<uint64_t>(size) / 8);
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto bound = [&](const Value& v, int64_t otherwise) {
    return v.is_none() ? otherwise : clamp_bound(to_int(v, "a bound of a slice"), size, low, high);
  };
  const int64_t begin = bound(bounds[0], step > 0 ? low : high),
                end = bound(bounds[1], step > 0 ? high : low);
  if (t && step == 1) {
    return slice_text(budget_, *t, offsets[static_cast<size_t>(begin)],
                      offsets[static_cast<size_t>(std::max(begin, end))], t->markup);
  }
  TextBuilder out(budget_);
  std::vector<Value> items;
  // A step as large as the sequence takes one item; larger ones would only overflow.
  const int64_t stride = std::clamp(step, -size - 1, size + 1);
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
    budget_.take_steps();
    const auto at = static_cast<size_t>(i);
    t ? out.append(*t, offsets[at], offsets[at + 1]) : items.push_back(l->items[at]);
  }
  return t ? out.finish(t->markup)
           : list(std::move(items), l->kind == List::tuple ? List::tuple : List::list);
}

Value Interpreter::evaluate_compare(const Expression& e) {
  Value left = evaluate(*e.children[0]);
  for (size_t i = 0; i < e.operators.size(); ++i) {
    Value right = evaluate(*e.children[i + 1]);
    if (!compare(e.operators[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Arguments Interpreter::evaluate_arguments(const CallArguments& a) {
  Arguments out;
  for (const auto& e : a.positional) out.positional.push_back(evaluate(*e));
  if (a.star) {
    for (Value& v : items_of(evaluate(*a.star))) out.positional.push_back(std::move(v));
  }
  for (const auto& [name, e] : a.named) out.named.emplace_back(name, evaluate(*e));
  if (a.double_star) {
    const Value v = evaluate(*a.double_star);
    if (!v.dict()) fail("what follows '**' must be a dict");
    for (const auto& [key, value] : v.dict()->items) {
      if (!key.text()) fail("names of arguments must be strings");
      out.named.emplace_back(key.text()->bytes, value);
    }
  }
  return out;
}

Value Interpreter::evaluate_call(const Expression& e) {
  const Value callee = evaluate(*e.children[0]);
  if (const Undefined* u = callee.get<Undefined>()) {
    fail(u->name ? fmt::format("'{}' is undefined, so it cannot be called", u->name->substr(0, 60))
                 : "what is undefined cannot be called");
  }
  return call(callee, evaluate_arguments(e.arguments));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  const Depth depth(*this);
  const Function* f = callee.function();
  if (!f) fail(fmt::format("{} cannot be called", type_name(callee)));
  return f->macro ? call_macro(*f, arguments) : f->call(*this, *f, arguments);
}

/// `input` stands in for the missing operand in the head of a block.
Value Interpreter::evaluate_filter(const Expression& e, const Value* input) {
  const Depth depth(*this);
  if (!has_filter(e.text)) fail(fmt::format("the filter '{}' is unknown", e.text.substr(0, 40)));
  const Expression* operand = e.children[0].get();
  Value v = !operand                              ? *input
            : operand->kind == Expression::filter ? evaluate_filter(*operand, input)
                                                  : evaluate(*operand);
  return apply_filter(*this, e.text, v, evaluate_arguments(e.arguments));
}

std::vector<Value> Interpreter::items_of(const Value& v) {
  if (const List* l = v.list()) {
    budget_.take_steps(l->items.size());
    return l->items;
  }
  std::vector<Value> items;
  if (const Text* t = v.text()) {
    const auto offsets = character_offsets(t->bytes);
    budget_.take_steps(offsets.size());
    for (size_t i = 0; i + 1 < offsets.size(); ++i)
      items.push_back(slice_text(budget_, *t, offsets[i], offsets[i + 1]));
    return items;
  }
  if (const Dict* d = v.dict()) {
    budget_.take_steps(d->items.size());
    for (const auto& item : d->items) items.push_back(item.first);
    return items;
  }
  if (!v.is_undefined()) fail(fmt::format("{} cannot be iterated", type_name(v)));
  return items;
}

Value Interpreter::attribute_of(const Value& v, const std::string& name) {
  if (const Undefined* u = v.get<Undefined>()) {
    fail(fmt::format("'{}' is undefined, so it has no '{}'", u->name ? u->name->substr(0, 60) : "a value",
                     name.substr(0, 60)));
  }
  if (Namespace* n = v.space()) {
    const Value* found = n->find(name);
    return found ? *found : Value();
  }
  Value method = method_of(v, name);
  if (!method.is_undefined()) return method;
  if (const Dict* d = v.dict()) {
    const Value* found = d->find(make_literal(name));
    return found ? *found : Value();
  }
  return {};
}

Value Interpreter::item_of(const Value& v, const Value& key) {
  if (const Undefined* u = v.get<Undefined>()) {
    fail(fmt::format("'{}' is undefined, so it has no items", u->name ? u->name->substr(0, 60) : "a value"));
  }
  if (const Dict* d = v.dict()) {
    if (const Value* found = d->find(key)) return *found;
  } else if (const Namespace* n = v.space(); n && key.text()) {
    return attribute_of(v, key.text()->bytes);
  } else if (key.get<int64_t>() || key.get<bool>()) {
    int64_t i = to_int(key, "an index");
    const List* l = v.list();
    if (l && l->kind != List::generator) {
      if (i < 0) i += static_cast<int64_t>(l->items.size());
      if (i < 0 || i >= static_cast<int64_t>(l->items.size())) return {};
      return l->items[static_cast<size_t>(i)];
    }
    if (const Text* t = v.text()) {
      const auto offsets = character_offsets(t->bytes);
      budget_.take_steps(offsets.size() / 8);
      const auto size = static_cast<int64_t>(offsets.size()) - 1;
      if (i < 0) i += size;
      if (i < 0 || i >= size) return {};
      return slice_text(budget_, *t, offsets[static_cast<size_t>(i)], offsets[static_cast<size_t>(i) + 1],
                        t->markup);
    }
  }
  return key.text() ? method_of(v, key.text()->bytes) : Value();
}

}  // namespace carat::jinja
