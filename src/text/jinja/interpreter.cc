#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace carat::jinja {
namespace {

constexpr int max_depth = 600;

/// Python's rules for an index or a bound of a slice.
int64_t clamp_bound(int64_t i, int64_t size, int64_t low, int64_t high) {
  if (i < 0) i += size;
  return std::clamp(i, low, high);
}

/// The result of an overflow-checked operation.
template <class Operation>
int64_t checked(Operation operation, int64_t a, int64_t b) {
  int64_t result = 0;
  if (operation(a, b, &result)) fail("an integer grows beyond 64 bits");
  return result;
}
constexpr auto add = [](int64_t a, int64_t b, int64_t* r) { return __builtin_add_overflow(a, b, r); };
constexpr auto subtract = [](int64_t a, int64_t b, int64_t* r) { return __builtin_sub_overflow(a, b, r); };
constexpr auto multiply = [](int64_t a, int64_t b, int64_t* r) { return __builtin_mul_overflow(a, b, r); };

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if (exponent & 1) result = checked(multiply, result, base);
    exponent >>= 1;
    if (exponent > 0) base = checked(multiply, base, base);
  }
  return result;
}

Value real_arithmetic(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) fail("division by zero");
  if (op == "/") return a / b;
  if (op == "//") return std::floor(a / b);
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

Value integer_arithmetic(std::string_view op, int64_t a, int64_t b) {
  if (op == "+") return checked(add, a, b);
  if (op == "-") return checked(subtract, a, b);
  if (op == "*") return checked(multiply, a, b);
  if (op == "**") {
    if (b < 0) return real_arithmetic(op, static_cast<double>(a), static_cast<double>(b));
    return integer_power(a, b);
  }
  if (b == 0) fail("division by zero");
  if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1) return op == "//" ? Value(checked(subtract, 0, a)) : Value(0);
  const int64_t remainder = a % b;
  const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
  if (op == "//") return a / b - (adjust ? 1 : 0);
  return remainder + (adjust ? b : 0);
}

}  // namespace

/// Counts how deep evaluation is, which recursion of macros would take past the stack.
class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& in) : in_(in) {
    in.budget_.take_steps();
    if (++in.depth_ > max_depth) {
      --in.depth_;
      fail("the template calls or nests too deeply");
    }
  }
  ~Depth() { --in_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  Interpreter& in_;
};

Interpreter::~Interpreter() {
  for (const auto& space : namespaces_) space->items.clear();
}

Value Interpreter::run(const Block& block) {
  push_scope(nullptr);
  execute(block);
  return output_.finish();
}

void Interpreter::push_scope(Scope* parent) {
  budget_.take_steps(10);
  scopes_.push_back(std::make_unique<Scope>());
  scopes_.back()->parent = parent;
  scope_ = scopes_.back().get();
}

/// Frees the scope unless a macro may come back to it, or one made during a call in it still stands behind
/// it.
void Interpreter::pop_scope(Scope* back_to) {
  if (!scope_->captured && scopes_.back().get() == scope_) scopes_.pop_back();
  scope_ = back_to;
}

Value Interpreter::look_up(const std::string& name) {
  for (const Scope* s = scope_; s; s = s->parent) {
    budget_.take_steps(1 + s->variables.size() / 16);
    for (const auto& v : s->variables) {
      if (v.first == name) return v.second;
    }
  }
  for (const auto& v : variables_) {
    if (v.first == name) return v.second;
  }
  return global_function(name);
}

Value Interpreter::make_namespace(std::vector<std::pair<std::string, Value>> items) {
  budget_.take_steps(10 + items.size());
  auto space = std::make_shared<Namespace>();
  space->items = std::move(items);
  namespaces_.push_back(space);
  return space;
}

// --- expressions ---

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
                      offsets[static_cast<size_t>(std::max(begin, end))]);
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
  return t ? out.finish() : list(std::move(items), l->kind == List::tuple ? List::tuple : List::list);
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

bool Interpreter::compare(std::string_view op, const Value& a, const Value& b) {
  budget_.take_steps(std::min(weight_of(a), weight_of(b)) / 16);
  if (op == "==") return equal(a, b);
  if (op == "!=") return !equal(a, b);
  if (op == "in") return contains(b, a);
  if (op == "not in") return !contains(b, a);
  if (op == "<") return less(a, b);
  if (op == ">") return less(b, a);
  if (a.get<double>() || b.get<double>())
    return op == "<=" ? to_double(a) <= to_double(b) : to_double(a) >= to_double(b);
  return op == "<=" ? !less(b, a) : !less(a, b);
}

bool Interpreter::contains(const Value& container, const Value& v) {
  if (const Text* t = container.text()) {
    if (!v.text()) fail(fmt::format("'in' of a string needs a string, not {}", type_name(v)));
    budget_.take_steps(t->size() / 64);
    return t->bytes.find(v.text()->bytes) != std::string::npos;
  }
  if (const Dict* d = container.dict()) return d->find(v) != nullptr;
  if (const List* l = container.list()) {
    budget_.take_steps(1 + weight_of(container) / 16);
    return std::ranges::any_of(l->items, [&](const Value& item) { return equal(item, v); });
  }
  if (container.is_undefined()) return false;
  fail(fmt::format("{} contains nothing", type_name(container)));
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

Value Interpreter::arithmetic(std::string_view op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.get<double>() || b.get<double>()) return real_arithmetic(op, to_double(a), to_double(b));
    return integer_arithmetic(op, to_int(a, ""), to_int(b, ""));
  }
  if (op == "+" && a.text() && b.text()) {
    // Adding to markup escapes the other side.
    const bool markup = a.text()->markup || b.text()->markup;
    TextBuilder out(budget_);
    out.append(markup ? escape_html(*this, a) : a);
    out.append(markup ? escape_html(*this, b) : b);
    return out.finish(markup);
  }
  if (op == "+" && a.list() && b.list() && a.list()->kind == b.list()->kind) {
    std::vector<Value> items = a.list()->items;
    items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
    return list(std::move(items), a.list()->kind);
  }
  if (op == "%" && a.text()) return format_percent(*this, *a.text(), b);
  if (const bool left = a.is_number() && !a.get<double>();
      op == "*" && (left || (b.is_number() && !b.get<double>()))) {
    const Value& sequence = left ? b : a;
    const int64_t n = std::max<int64_t>(0, to_int(left ? a : b, ""));
    if (const Text* t = sequence.text()) {
      if (t->size() > 0 && static_cast<uint64_t>(n) > budget_.bytes_left / t->size())
        fail("the template makes too much text");
      TextBuilder out(budget_);
      if (t->size() > 0) {
        for (int64_t i = 0; i < n; ++i) budget_.take_steps(), out.append(*t);
      }
      return out.finish();
    }
    if (const List* l = sequence.list()) {
      std::vector<Value> items;
      for (int64_t i = 0; i < n && !l->items.empty(); ++i) {
        budget_.take_steps(1 + l->items.size());
        if (items.size() * sizeof(Value) > budget_.bytes_left) fail("the template needs too much memory");
        items.insert(items.end(), l->items.begin(), l->items.end());
      }
      return list(std::move(items), l->kind);
    }
  }
  for (const Value* v : {&a, &b}) {
    if (const Undefined* u = v->get<Undefined>(); u && u->name)
      fail(fmt::format("'{}' is undefined", u->name->substr(0, 60)));
  }
  fail(fmt::format("'{}' cannot be done on {} and {}", op, type_name(a), type_name(b)));
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
      return slice_text(budget_, *t, offsets[static_cast<size_t>(i)], offsets[static_cast<size_t>(i) + 1]);
    }
  }
  return key.text() ? method_of(v, key.text()->bytes) : Value();
}

// --- statements ---

Interpreter::Flow Interpreter::execute(const Block& block) {
  for (const auto& s : block) {
    try {
      const Depth depth(*this);
      if (const Flow flow = execute(*s); flow != Flow::next) return flow;
    } catch (Failure& f) {
      if (!f.located) f = {fmt::format("line {}: {}", s->line, f.message), true};
      throw;
    }
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::execute(const Statement& s) {
  switch (s.kind) {
    case Statement::text:
      output_.append(s.value);
      break;
    case Statement::output:
      output_.append(evaluate(*s.expressions[0]));
      break;
    case Statement::if_:
      return execute_if(s);
    case Statement::for_:
      return execute_for(s);
    case Statement::set:
      assign(*s.targets[0], evaluate(*s.expressions[0]));
      break;
    case Statement::set_block: {
      const Value body = capture(s.blocks[0]);
      assign(*s.targets[0], s.expressions[0] ? evaluate_filter(*s.expressions[0], &body) : body);
      break;
    }
    case Statement::define_macro:
      set_variable(s.macro.name, make_macro(s.macro));
      break;
    case Statement::call_block:
      execute_call_block(s);
      break;
    case Statement::filter_block: {
      const Value body = capture(s.blocks[0]);
      output_.append(evaluate_filter(*s.expressions[0], &body));
      break;
    }
    case Statement::scoped: {
      std::vector<Value> values;
      for (const auto& e : s.expressions) values.push_back(evaluate(*e));
      Scope* outer = scope_;
      push_scope(outer);
      for (size_t i = 0; i < values.size(); ++i) assign(*s.targets[i], std::move(values[i]));
      const Flow flow = execute(s.blocks[0]);
      pop_scope(outer);
      return flow;
    }
    case Statement::break_:
      return Flow::break_;
    case Statement::continue_:
      return Flow::continue_;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::execute_if(const Statement& s) {
  for (size_t i = 0; i < s.expressions.size(); ++i) {
    if (is_true(evaluate(*s.expressions[i]))) return execute(s.blocks[i]);
  }
  return s.blocks.size() > s.expressions.size() ? execute(s.blocks.back()) : Flow::next;
}

Interpreter::Flow Interpreter::execute_for(const Statement& s) {
  Scope* outer = scope_;
  std::vector<Value> items = items_of(evaluate(*s.expressions[0]));
  if (s.expressions[1]) {
    std::vector<Value> kept;
    for (Value& item : items) {
      push_scope(outer);
      assign(*s.targets[0], item);
      if (is_true(evaluate(*s.expressions[1]))) kept.push_back(std::move(item));
      pop_scope(outer);
    }
    items = std::move(kept);
  }
  if (items.empty()) {
    if (s.blocks.size() < 2) return Flow::next;
    push_scope(outer);
    const Flow flow = execute(s.blocks[1]);
    pop_scope(outer);
    return flow;
  }
  const auto loop = std::make_shared<Loop>();
  loop->items = std::move(items);
  for (loop->index = 0; loop->index < loop->items.size(); ++loop->index) {
    push_scope(outer);
    scope_->variables.emplace_back("loop", loop);
    assign(*s.targets[0], loop->items[loop->index]);
    const Flow flow = execute(s.blocks[0]);
    pop_scope(outer);
    if (flow == Flow::break_) break;
  }
  return Flow::next;
}

void Interpreter::set_variable(const std::string& name, Value value) {
  budget_.take_steps(1 + scope_->variables.size() / 16);
  for (auto& v : scope_->variables) {
    if (v.first == name) {
      v.second = std::move(value);
      return;
    }
  }
  scope_->variables.emplace_back(name, std::move(value));
}

void Interpreter::assign(const Expression& target, Value value) {
  if (target.kind == Expression::name) {
    set_variable(target.text, std::move(value));
  } else if (target.kind == Expression::attribute) {
    const Value object = evaluate(*target.children[0]);
    if (!object.space()) fail("an attribute can be set on a namespace only");
    object.space()->set(target.text, std::move(value));
  } else {
    std::vector<Value> parts = items_of(value);
    if (parts.size() != target.children.size()) {
      fail(fmt::format("{} values cannot be unpacked into {} names", parts.size(), target.children.size()));
    }
    for (size_t i = 0; i < parts.size(); ++i) assign(*target.children[i], std::move(parts[i]));
  }
}

/// The output of a block, in a scope of its own.
Value Interpreter::capture(const Block& block) {
  TextBuilder outer_output = std::exchange(output_, TextBuilder(budget_));
  Scope* outer = scope_;
  push_scope(outer);
  execute(block);
  pop_scope(outer);
  TextBuilder captured = std::exchange(output_, std::move(outer_output));
  return captured.finish();
}

Value Interpreter::make_macro(const Macro& m) {
  for (Scope* s = scope_; s; s = s->parent) s->captured = true;
  auto f = std::make_shared<Function>();
  f->name = m.name;
  f->macro = &m;
  f->scope = scope_;
  return std::shared_ptr<const Function>(std::move(f));
}

Value Interpreter::call_macro(const Function& f, const Arguments& arguments) {
  const Macro& m = *f.macro;
  const auto names = [&](std::string_view name) {
    return std::ranges::find(m.parameters, name) != m.parameters.end();
  };
  Scope* outer = scope_;
  push_scope(static_cast<Scope*>(f.scope));
  const auto bind = [&](std::string name, Value v) {
    scope_->variables.emplace_back(std::move(name), std::move(v));
  };
  std::vector<std::pair<Value, Value>> rest;
  for (const auto& [name, value] : arguments.named) {
    if (names(name)) continue;
    if (name == "caller") {
      bind("caller", value);
    } else {
      rest.emplace_back(make_literal(name), value);
    }
  }
  const size_t required = m.parameters.size() - m.defaults.size();
  for (size_t i = 0; i < m.parameters.size(); ++i) {
    const Value* given = arguments.find(i, m.parameters[i]);
    bind(m.parameters[i], given ? *given : i >= required ? evaluate(*m.defaults[i - required]) : Value());
  }
  std::vector<Value> extra;
  for (size_t i = m.parameters.size(); i < arguments.positional.size(); ++i)
    extra.push_back(arguments.positional[i]);
  bind("varargs", list(std::move(extra), List::tuple));
  bind("kwargs", make_dict(budget_, std::move(rest)));

  TextBuilder outer_output = std::exchange(output_, TextBuilder(budget_));
  execute(*m.body);
  TextBuilder captured = std::exchange(output_, std::move(outer_output));
  pop_scope(outer);
  return captured.finish();
}

void Interpreter::execute_call_block(const Statement& s) {
  const Expression& e = *s.expressions[0];
  const Value callee = evaluate(*e.children[0]);
  Arguments arguments = evaluate_arguments(e.arguments);
  arguments.named.emplace_back("caller", make_macro(s.macro));
  output_.append(call(callee, arguments));
}

}  // namespace carat::jinja
