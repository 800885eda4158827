// A conversation over the model's own chat template. The whole conversation is rendered each turn, since
// templates may rewrite what came before (drop old reasoning, say); the session keeps the keys and values of
// the common prefix, so that as a rule only the new turn is computed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/generate.h"
#include "text/chat_template.h"

namespace carat {

class Chat {
 public:
  /// Errors (bad_data): no tokenizer, no chat template in the model, or one that does not parse.
  static Result<std::unique_ptr<Chat>> start(std::shared_ptr<Engine> engine);

  /// Adds a message that is not answered yet, e.g. the system prompt.
  void add(ChatMessage message) { messages_.push_back(std::move(message)); }
  /// Adds the user's message, generates the assistant's answer and adds it. On an error the messages are as
  /// before.
  Result<Generation> reply(const Context& context, std::string user, const GenerateOptions& options,
                           const OnPiece& on_piece);
  /// Forgets the conversation.
  void clear();

  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Tokens the session held before the last reply that could be kept.
  int64_t reused_tokens() const { return reused_; }

 private:
  Chat(std::shared_ptr<Engine> engine, std::unique_ptr<Session> session,
       std::shared_ptr<const ChatTemplate> format)
      : engine_(std::move(engine)), session_(std::move(session)), template_(std::move(format)) {}

  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  std::shared_ptr<const ChatTemplate> template_;
  std::vector<ChatMessage> messages_;
  int64_t reused_ = 0;
};

/// The tokens of a rendered conversation; begins with BOS where the model wants one and the template gave
/// none. tools_json: functions the model may call, a JSON array, or empty.
Result<std::vector<TokenId>> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& format,
                                         const std::vector<ChatMessage>& messages,
                                         std::string tools_json = {});

}  // namespace carat
