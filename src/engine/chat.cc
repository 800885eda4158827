#include "engine/chat.h"

#include <algorithm>

namespace carat {

Result<std::unique_ptr<Chat>> Chat::start(std::shared_ptr<Engine> engine) {
  const Checkpoint& checkpoint = engine->checkpoint();
  if (!engine->tokenizer())
    return bad_data("{}: the model has no tokenizer, so it cannot chat", checkpoint.source);
  // An empty template, which some tools write for none, would leave out what the user says.
  CARAT_TRY(const std::string source, checkpoint.metadata.string_or("tokenizer.chat_template", ""));
  if (source.empty())
    return bad_data("{}: the model has no chat template; give it a plain prompt instead", checkpoint.source);
  auto format = ChatTemplate::parse(source);
  if (!format) return std::move(format).error().within(checkpoint.source);
  CARAT_TRY(std::unique_ptr<Session> session, engine->new_session());
  return std::unique_ptr<Chat>(new Chat(std::move(engine), std::move(session), *std::move(format)));
}

Result<std::vector<TokenId>> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& format,
                                         const std::vector<ChatMessage>& messages, std::string tools_json) {
  ChatOptions options;
  options.tools_json = std::move(tools_json);
  options.bos_token = tokenizer.token_bytes(tokenizer.bos(), true);
  options.eos_token = tokenizer.token_bytes(tokenizer.eos(), true);
  CARAT_TRY(std::vector<TextSpan> spans, format.render(messages, options));
  CARAT_TRY(std::vector<TokenId> tokens, tokenizer.encode_spans(spans));
  if (tokenizer.adds_bos() && tokenizer.bos() >= 0 && (tokens.empty() || tokens.front() != tokenizer.bos())) {
    tokens.insert(tokens.begin(), tokenizer.bos());
  }
  if (tokens.empty()) return bad_data("the chat template renders this conversation to nothing");
  return tokens;
}

Result<Generation> Chat::reply(const Context& context, std::string user, const GenerateOptions& options,
                               const OnPiece& on_piece) {
  messages_.push_back({"user", std::move(user)});
  auto answer = [&]() -> Result<Generation> {
    auto encoded = encode_chat(*engine_->tokenizer(), *template_, messages_);
    if (!encoded) return std::move(encoded).error().within(engine_->checkpoint().source);
    const std::vector<TokenId> tokens = *std::move(encoded);
    const int64_t same = std::ranges::mismatch(session_->tokens(), tokens).in2 - tokens.begin();
    // The last token is always computed anew: its logits are needed.
    reused_ = std::min(same, static_cast<int64_t>(tokens.size()) - 1);
    session_->truncate(reused_);
    const std::span<const TokenId> held = std::span(tokens).first(reused_);
    const std::span<const TokenId> fresh = std::span(tokens).subspan(reused_);
    return generate(context, *engine_, *session_, held, fresh, options, on_piece);
  }();
  if (answer) {
    messages_.push_back({"assistant", answer->text});
  } else {
    messages_.pop_back();
  }
  return answer;
}

void Chat::clear() {
  messages_.clear();
  session_->truncate(0);
}

}  // namespace carat
