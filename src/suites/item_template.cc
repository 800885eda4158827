#include "suites/item_template.h"

#include "containers/quote.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/syntax.h"

namespace carat {

namespace {

using jinja::Block;
using jinja::Expression;
using jinja::Statement;

/// Collects the names a template reads and those it makes itself. Scopes are not told apart: a name that is
/// bound anywhere is not asked of the line.
class Names {
 public:
  void read(const Block& block) {
    for (const auto& statement : block) read(*statement);
  }
  bool reads(std::string_view name) const { return read_.contains(name); }
  std::set<std::string, std::less<>> needed() const {
    std::set<std::string, std::less<>> out;
    for (const std::string& name : read_)
      if (!bound_.contains(name) && jinja::global_function(name).is_undefined()) out.insert(name);
    return out;
  }

 private:
  void read(const Statement& s) {
    for (const auto& e : s.expressions) read(e.get());
    for (const auto& t : s.targets) bind(t.get());
    if (s.kind == Statement::for_) bound_.insert("loop");
    if (s.kind == Statement::define_macro || s.kind == Statement::call_block) {
      bound_.insert({s.macro.name, "caller", "varargs", "kwargs"});
      bound_.insert(s.macro.parameters.begin(), s.macro.parameters.end());
      for (const auto& d : s.macro.defaults) read(d.get());
    }
    for (const Block& b : s.blocks) read(b);
  }
  void bind(const Expression* e) {
    if (!e) return;
    if (e->kind == Expression::name) bound_.insert(e->text);
    for (const auto& c : e->children) bind(c.get());
  }
  void read(const Expression* e) {
    if (!e) return;
    if (e->kind == Expression::name) read_.insert(e->text);
    // `x is defined` and `x | default(...)` say what happens where the line has no x.
    const bool asks = (e->kind == Expression::test && (e->text == "defined" || e->text == "undefined")) ||
                      (e->kind == Expression::filter && (e->text == "default" || e->text == "d"));
    if (asks && !e->children.empty() && e->children[0] && e->children[0]->kind == Expression::name)
      bound_.insert(e->children[0]->text);
    for (const auto& c : e->children) read(c.get());
    for (const auto& a : e->arguments.positional) read(a.get());
    for (const auto& [name, a] : e->arguments.named) read(a.get());
    read(e->arguments.star.get());
    read(e->arguments.double_star.get());
  }

  std::set<std::string, std::less<>> read_, bound_;
};

Error without_prefix(Error e) {
  constexpr std::string_view prefix = "chat template: ";
  if (e.message.starts_with(prefix)) e.message.erase(0, prefix.size());
  return e;
}

}  // namespace

Result<ItemTemplate> ItemTemplate::parse(std::string_view source) {
  auto parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return without_prefix(std::move(parsed).error());
  ItemTemplate t;
  t.parsed_ = *std::move(parsed);
  Names names;
  names.read(jinja::parse_template(source));  // parsed above, so that it cannot fail
  if (names.reads("strftime_now"))
    return bad_data("the template uses strftime_now, but a suite asks the same every day");
  t.needed_ = names.needed();
  t.ends_line_ = source.ends_with('\n');
  return t;
}

Result<std::string> ItemTemplate::render(const json::object& fields, std::string_view line) const {
  for (const std::string& name : needed_)
    if (!fields.contains(name))
      return bad_data("the template uses {}, which the item does not have", quote(name));
  auto text = parsed_->render_json(line);
  if (!text.ok()) return without_prefix(std::move(text).error());
  if (ends_line_) *text += '\n';  // jinja2 takes one off
  return text;
}

}  // namespace carat
