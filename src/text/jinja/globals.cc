// Functions that templates find by name alone.
#include <fmt/format.h>

#include <ctime>

#include "text/jinja/methods.h"

namespace carat::jinja {
namespace {

Value range(Interpreter& in, const Function&, const Arguments& a) {
  const auto bound = [&](size_t i) { return to_int(a.positional[i], "an argument of range"); };
  if (a.positional.empty() || a.positional.size() > 3) fail("range needs one to three integers");
  const int64_t begin = a.positional.size() > 1 ? bound(0) : 0;
  const int64_t end = bound(a.positional.size() > 1 ? 1 : 0);
  const int64_t step = a.positional.size() > 2 ? bound(2) : 1;
  if (step == 0) fail("the step of range cannot be 0");
  constexpr size_t longest = 100000;  // jinja2's MAX_RANGE
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (items.size() == longest) fail(fmt::format("range has more than {} items", longest));
    items.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return in.list(std::move(items), List::view);
}

Value raise_exception(Interpreter&, const Function&, const Arguments& a) {
  std::string message = a.positional.empty() || !a.positional[0].text() ? "the template refused the messages"
                                                                        : a.positional[0].text()->bytes;
  throw Failure{std::move(message), true};
}

/// Local time, as Hugging Face's does.
Value strftime_now(Interpreter& in, const Function&, const Arguments& a) {
  const Text& format = text_argument(a.find(0, "format"), "strftime_now");
  if (format.size() > 200) fail("the format of strftime_now is too long");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[4096];
  const size_t n = std::strftime(buffer, sizeof buffer, format.bytes.c_str(), &local);
  return in.text(std::string_view(buffer, n));
}

Value make_dictionary(Interpreter& in, const Function&, const Arguments& a) {
  std::vector<std::pair<Value, Value>> items;
  if (!a.positional.empty() && a.positional[0].dict()) items = a.positional[0].dict()->items;
  for (const auto& [name, value] : a.named) items.emplace_back(make_literal(name), value);
  return make_dict(in.budget(), std::move(items));
}

Value make_namespace(Interpreter& in, const Function&, const Arguments& a) {
  std::vector<std::pair<std::string, Value>> items;
  if (!a.positional.empty() && a.positional[0].dict()) {
    for (const auto& [key, value] : a.positional[0].dict()->items) {
      if (key.text()) items.emplace_back(key.text()->bytes, value);
    }
  }
  items.insert(items.end(), a.named.begin(), a.named.end());
  return in.make_namespace(std::move(items));
}

/// joiner(', '): empty the first time it is called, the separator from then on.
Value make_joiner(Interpreter& in, const Function&, const Arguments& a) {
  auto f = std::make_shared<Function>();
  f->name = "joiner";
  f->self = a.find(0, "sep") ? *a.find(0, "sep") : in.text(", ");
  f->state = std::make_shared<int64_t>(0);
  f->call = [](Interpreter& inside, const Function& j, const Arguments&) {
    return std::exchange(*j.state, 1) == 0 ? inside.text("") : j.self;
  };
  return std::shared_ptr<const Function>(std::move(f));
}

const Method globals[] = {
    {"range", range},          {"raise_exception", raise_exception}, {"strftime_now", strftime_now},
    {"dict", make_dictionary}, {"namespace", make_namespace},        {"joiner", make_joiner},
};

}  // namespace

Value global_function(const std::string& name) { return find_method(globals, name, {}); }

}  // namespace carat::jinja
