// Walks the syntax tree of a template and collects its output.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja/syntax.h"
#include "text/jinja/value.h"

namespace carat::jinja {

struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string, Value>> variables;
  bool captured = false;  ///< a macro defined here or further in may come back to it
};

class Interpreter {
 public:
  explicit Interpreter(Budget limits) : budget_(limits), output_(budget_) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Budget& budget() { return budget_; }
  void define(std::string name, Value value) { variables_.emplace_back(std::move(name), std::move(value)); }
  /// The output as one text. Fails with Failure.
  Value run(const Block& block);

  // --- for built-in functions ---
  Value call(const Value& callee, const Arguments& arguments);
  /// What iter() gives, as a list; fails for what cannot be iterated.
  std::vector<Value> items_of(const Value& v);
  Value text(std::string_view s, bool trusted = true) { return make_text(budget_, s, trusted); }
  Value list(std::vector<Value> items, List::Kind kind = List::list) {
    budget_.take_steps(items.size());
    return make_list(budget_, std::move(items), kind);
  }
  /// a.name and a[key] as jinja2 resolves them: undefined if there is no such thing.
  Value attribute_of(const Value& v, const std::string& name);
  Value item_of(const Value& v, const Value& key);
  Value make_namespace(std::vector<std::pair<std::string, Value>> items);
  bool contains(const Value& container, const Value& v);
  Value arithmetic(std::string_view op, const Value& a, const Value& b);

 private:
  enum class Flow { next, break_, continue_ };

  /// Counts how deep evaluation is, which recursion of macros would take past the stack.
  class Depth {
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
    static constexpr int max_depth = 600;
    Interpreter& in_;
  };

  Value evaluate(const Expression& e);
  Value evaluate_compare(const Expression& e);
  Value evaluate_slice(const Expression& e);
  Value evaluate_dict(const Expression& e);
  Value evaluate_call(const Expression& e);
  Value evaluate_filter(const Expression& e, const Value* input);
  Value evaluate_list(const Expression& e, List::Kind kind);
  Value concatenate(const Expression& e);
  Arguments evaluate_arguments(const CallArguments& a);
  Value look_up(const std::string& name);
  bool compare(std::string_view op, const Value& a, const Value& b);

  Flow execute(const Block& block);
  Flow execute(const Statement& s);
  Flow execute_if(const Statement& s);
  Flow execute_for(const Statement& s);
  void execute_call_block(const Statement& s);
  void assign(const Expression& target, Value value);
  void set_variable(const std::string& name, Value value);
  Value capture(const Block& block);
  Value call_macro(const Function& f, const Arguments& arguments);
  Value make_macro(const Macro& m);

  void push_scope(Scope* parent);
  void pop_scope(Scope* back_to);

  Budget budget_;
  std::vector<std::pair<std::string, Value>> variables_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Scope>> scopes_;
  Scope* scope_ = nullptr;
  TextBuilder output_;
  int depth_ = 0;
};

// --- built-ins, by their names in templates ---
Value apply_filter(Interpreter& in, const std::string& name, const Value& v, const Arguments& a);
bool apply_test(Interpreter& in, const std::string& name, const Value& v, const Arguments& a);
bool has_filter(std::string_view name);
bool has_test(std::string_view name);
/// A global function, or undefined.
Value global_function(const std::string& name);
/// A method of str, list, dict, tuple or loop bound to v, or undefined.
Value method_of(const Value& v, const std::string& name);
/// Python's text % values.
Value format_percent(Interpreter& in, const Text& pattern, const Value& values);

// --- shared by filters and methods ---
Value strip(Interpreter& in, const Text& t, const Value* characters, bool left, bool right);
Value replace(Interpreter& in, const Text& t, const Text& old, const Text& with, int64_t count);
enum class Case { upper, lower, title, capitalize, swap };
Value change_case(Interpreter& in, const Text& t, Case to);
/// Whether there are letters that have a case and all are of the given one (upper or lower).
bool has_case(const Text& t, Case to);
Value join(Interpreter& in, const Value& separator, const std::vector<Value>& items);
std::vector<Value> split_lines(Interpreter& in, const Text& t);
/// With the characters HTML gives a meaning as entities, unless it is markup already.
Value escape_html(Interpreter& in, const Value& v);
/// str(v): v itself if it is a text.
Value to_text(Interpreter& in, const Value& v);
/// The argument as a text; fails with the names of function and parameter.
const Text& text_argument(const Value* v, std::string_view function);

}  // namespace carat::jinja
