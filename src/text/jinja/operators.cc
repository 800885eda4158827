// Arithmetic and comparison, as Python has them; integers have 64 bits.
#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace carat::jinja {
namespace {

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

}  // namespace carat::jinja
