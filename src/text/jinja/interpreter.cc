// Statements, scopes and macros.
#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

namespace carat::jinja {

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
