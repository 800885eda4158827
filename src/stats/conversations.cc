#include "containers/json.h"
#include "stats/calibration_text.h"

namespace carat {
namespace {

Result<std::vector<ChatMessage>> parse_conversation(std::string_view line) {
  CARAT_TRY(const json::value value, parse_json(line));
  const json::array* list = json_array(&value);
  if (!list) list = json_array(json_find(value, "messages"));
  if (!list || list->empty())
    return bad_data("is no conversation; there should be \"messages\", a list of role and content");
  std::vector<ChatMessage> messages;
  for (const json::value& message : *list) {
    const json::string* role = json_string(json_find(message, "role"));
    const json::string* content = json_string(json_find(message, "content"));
    if (!role || !content) return bad_data("has a message without a role or content of type string");
    messages.push_back({std::string(*role), std::string(*content)});
  }
  return messages;
}

}  // namespace

Result<NamedTokens> tokenize_conversations(const Tokenizer& tokenizer, const ChatTemplate& format,
                                           const NamedText& text) {
  ChatOptions options;
  options.add_generation_prompt = false;
  options.bos_token = tokenizer.token_bytes(tokenizer.bos(), true);
  options.eos_token = tokenizer.token_bytes(tokenizer.eos(), true);
  NamedTokens out{text.name, {}};
  int64_t number = 0;
  for (size_t at = 0; at < text.text.size();) {
    const size_t end = std::min(text.text.find('\n', at), text.text.size());
    const std::string_view line = std::string_view(text.text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto tokens = [&]() -> Result<std::vector<TokenId>> {
      CARAT_TRY(const std::vector<ChatMessage> messages, parse_conversation(line));
      CARAT_TRY(const std::vector<TextSpan> spans, format.render(messages, options));
      return tokenizer.encode_spans(spans);
    }();
    if (!tokens) return Error(tokens.error()).within(fmt::format("{}, line {}", text.name, number));
    out.tokens.insert(out.tokens.end(), tokens->begin(), tokens->end());
  }
  if (out.tokens.empty()) return bad_data("{}: holds no conversation", text.name);
  return out;
}

}  // namespace carat
