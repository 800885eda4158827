// Turns messages and JSON into the interpreter's values and its output into spans.
#include "text/chat_template.h"

#include <algorithm>

#include "containers/json.h"
#include "text/jinja/interpreter.h"

namespace carat {
namespace {

using jinja::Budget;

// A long conversation with tools takes a few hundred thousand steps; text lives twice (bytes and trust).
constexpr uint64_t max_steps = 20'000'000;
constexpr uint64_t base_bytes = 48 << 20;
constexpr uint64_t bytes_per_input_byte = 64;
constexpr size_t max_template_bytes = 4 << 20;

bool is_known_role(std::string_view role) {
  constexpr std::string_view known[] = {"system",    "user",     "assistant", "tool",
                                        "developer", "function", "ipython"};
  return std::ranges::find(known, role) != std::end(known);
}

/// Nothing that comes as JSON is trusted, but the roles the program itself gives.
jinja::Value from_json(Budget& budget, const json::value& v, int depth = 0) {
  if (depth > 64) jinja::fail("the variables nest too deeply");
  budget.take_steps();
  switch (v.kind()) {
    case json::kind::null:
      return jinja::None{};
    case json::kind::bool_:
      return v.get_bool();
    case json::kind::int64:
      return int64_t{v.get_int64()};
    case json::kind::uint64:
      return static_cast<double>(v.get_uint64());
    case json::kind::double_:
      return v.get_double();
    case json::kind::string:
      return jinja::make_text(budget, std::string_view(v.get_string()), false);
    case json::kind::array: {
      std::vector<jinja::Value> items;
      for (const json::value& item : v.get_array()) items.push_back(from_json(budget, item, depth + 1));
      return jinja::make_list(budget, std::move(items));
    }
    case json::kind::object: {
      std::vector<std::pair<jinja::Value, jinja::Value>> items;
      for (const auto& member : v.get_object()) {
        const std::string_view key(member.key());
        const json::string* text = member.value().if_string();
        const bool role = key == "role" && text && is_known_role(std::string_view(*text));
        items.emplace_back(jinja::make_text(budget, key, false),
                           role ? jinja::make_text(budget, std::string_view(*text), true)
                                : from_json(budget, member.value(), depth + 1));
      }
      return jinja::make_dict(budget, std::move(items));
    }
  }
  return {};
}

jinja::Value message_list(Budget& budget, const std::vector<ChatMessage>& messages) {
  std::vector<jinja::Value> list;
  for (const ChatMessage& m : messages) {
    list.push_back(jinja::make_dict(
        budget, {{jinja::make_literal("role"), jinja::make_text(budget, m.role, is_known_role(m.role))},
                 {jinja::make_literal("content"), jinja::make_text(budget, m.content, false)}}));
  }
  return jinja::make_list(budget, std::move(list));
}

std::vector<TextSpan> spans_of(const jinja::Text& text) {
  std::vector<TextSpan> spans;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.trust.find_first_not_of(text.trust[begin], begin), text.size());
    spans.push_back({text.bytes.substr(begin, end - begin), text.trust[begin] == 't'});
    begin = end;
  }
  return spans;
}

class ParsedTemplate final : public ChatTemplate {
 public:
  explicit ParsedTemplate(jinja::Block block) : block_(std::move(block)) {}

  Result<std::vector<TextSpan>> render(const std::vector<ChatMessage>& messages,
                                       const ChatOptions& options) const override {
    json::value tools, extra;
    if (!options.tools_json.empty()) {
      CARAT_TRY(tools, parse_json(options.tools_json));
      if (!tools.is_array()) return bad_data("the tools given to the chat template are no JSON array");
    }
    if (!options.extra_json.empty()) {
      CARAT_TRY(extra, parse_json(options.extra_json));
      if (!extra.is_object()) return bad_data("the variables given to the chat template are no JSON object");
    }
    size_t input = options.tools_json.size() + options.extra_json.size();
    for (const ChatMessage& m : messages) input += m.content.size() + 64;
    std::vector<TextSpan> spans;
    CARAT_DO(run(input, [&](jinja::Interpreter& in) {
      Budget& budget = in.budget();
      if (extra.is_object()) define_members(in, extra.get_object());
      in.define("messages", message_list(budget, messages));
      in.define("add_generation_prompt", options.add_generation_prompt);
      in.define("bos_token", jinja::make_text(budget, options.bos_token, true));
      in.define("eos_token", jinja::make_text(budget, options.eos_token, true));
      // transformers passes None, which templates tell from undefined.
      in.define("tools", tools.is_array() ? from_json(budget, tools) : jinja::Value(jinja::None{}));
      in.define("documents", jinja::None{});
      const jinja::Value out = in.run(block_);
      spans = spans_of(*out.text());
    }));
    return spans;
  }

  Result<std::string> render_json(std::string_view variables_json) const override {
    CARAT_TRY(const json::value variables, parse_json(variables_json));
    if (!variables.is_object()) return bad_data("the variables of a chat template are no JSON object");
    std::string text;
    CARAT_DO(run(variables_json.size(), [&](jinja::Interpreter& in) {
      define_members(in, variables.get_object());
      const jinja::Value out = in.run(block_);
      text = out.text()->bytes;
    }));
    return text;
  }

 private:
  static void define_members(jinja::Interpreter& in, const json::object& members) {
    for (const auto& member : members)
      in.define(std::string(member.key()), from_json(in.budget(), member.value()));
  }

  template <class Body>
  static Status run(size_t input_bytes, Body&& body) {
    try {
      jinja::Interpreter in({base_bytes + bytes_per_input_byte * input_bytes, max_steps + 16 * input_bytes});
      body(in);
      return {};
    } catch (const jinja::Failure& f) {
      return bad_data("chat template: {}", f.message);
    }
  }

  jinja::Block block_;
};

}  // namespace

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string_view source) {
  if (source.size() > max_template_bytes)
    return bad_data("the chat template is {} bytes long", source.size());
  try {
    return std::shared_ptr<const ChatTemplate>(
        std::make_shared<ParsedTemplate>(jinja::parse_template(source)));
  } catch (const jinja::Failure& f) {
    return bad_data("chat template: {}", f.message);
  }
}

}  // namespace carat
