// Chat templates: the Jinja dialect of Hugging Face's tokenizers, interpreted with limits on steps, memory,
// depth and output; no file or network access. Text that came from messages is kept apart from text of the
// template itself, so that the special tokens a user types stay text (TextSpan::trusted).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace carat {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant", "tool"
  std::string content;
};

struct ChatOptions {
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  std::string tools_json;  ///< a JSON array, or empty for none
  std::string extra_json;  ///< a JSON object whose members become template variables, or empty
};

class ChatTemplate {
 public:
  /// bad_data with line and reason if the source does not parse.
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string_view source);
  virtual ~ChatTemplate() = default;
  /// Spans in order; those from message contents and tools are not trusted. raise_exception() of the template
  /// is a bad_data error with its text.
  virtual Result<std::vector<TextSpan>> render(const std::vector<ChatMessage>& messages,
                                               const ChatOptions& options) const = 0;
  /// As render, with all variables given as one JSON object (messages, tools, ...); the text is what jinja2
  /// as set up by Hugging Face's transformers (trim_blocks, lstrip_blocks) gives.
  virtual Result<std::string> render_json(std::string_view variables_json) const = 0;
};

}  // namespace carat
