#include "evaluate/answer.h"

#include "containers/quote.h"

namespace carat {
namespace {

constexpr size_t most_tool_calls = 256;

int64_t usage_count(const json::value& reply, std::string_view key) {
  const json::value* usage = json_find(reply, "usage");
  const json::value* count = usage ? json_find(*usage, key) : nullptr;
  // What nobody generates is no count; sums of counts must not overflow.
  constexpr int64_t most = int64_t{1} << 32;
  return count && count->is_int64() && count->get_int64() > 0 && count->get_int64() <= most
             ? count->get_int64()
             : 0;
}

std::string text_at(const json::value& object, std::string_view key) {
  const json::string* text = json_string(json_find(object, key));
  return text ? std::string(*text) : std::string();
}

/// Servers that give reasoning apart from the text call it one or the other.
std::string reasoning_of(const json::value& message) {
  std::string out = text_at(message, "reasoning_content");
  return out.empty() ? text_at(message, "reasoning") : out;
}

/// OpenAI has the arguments of a call as text; some servers give the object itself.
std::string arguments_of(const json::value& function) {
  const json::value* arguments = json_find(function, "arguments");
  if (!arguments || arguments->is_null()) return "";
  return arguments->is_string() ? std::string(arguments->get_string()) : json::serialize(*arguments);
}

}  // namespace

Result<GeneratedText> read_generation(const json::value& reply) {
  const json::array* choices = json_array(json_find(reply, "choices"));
  if (!choices || choices->empty() || !choices->front().is_object())
    return bad_data("the endpoint's answer has no choices[0]");
  const json::value& choice = choices->front();
  const json::value* message = json_find(choice, "message");
  const json::value* text = json_find(message ? *message : choice, message ? "content" : "text");
  const json::array* calls = message ? json_array(json_find(*message, "tool_calls")) : nullptr;
  if ((!text || !(text->is_string() || text->is_null())) && !calls)
    return bad_data("the endpoint's answer has no text in choices[0]");

  GeneratedText out;
  if (text && text->is_string()) out.text = std::string(text->get_string());
  if (message) out.reasoning = reasoning_of(*message);
  if (calls) {
    for (const json::value& call : *calls) {
      const json::value* function = json_find(call, "function");
      if (!function) return bad_data("a tool call of the endpoint's has no \"function\"");
      out.tool_calls.emplace_back(text_at(*function, "name"), arguments_of(*function));
    }
  }
  out.truncated = text_at(choice, "finish_reason") == "length";
  out.prompt_tokens = usage_count(reply, "prompt_tokens");
  out.tokens = usage_count(reply, "completion_tokens");
  return out;
}

void AnswerStream::restart() { *this = AnswerStream(); }

Result<bool> AnswerStream::take(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size() && !done_;) {
    // A line ends with LF, CR or both, which may be cut apart.
    if (after_return_ && bytes[at] == '\n') ++at;
    after_return_ = false;
    const size_t end = bytes.find_first_of("\r\n", at);
    line_ += bytes.substr(at, end - at);
    if (end == std::string_view::npos) break;
    after_return_ = bytes[end] == '\r';
    at = end + 1;
    CARAT_DO(take_line(line_));
    line_.clear();
  }
  return done_;
}

/// Fields other than data (event, id, retry) and comments, with which servers keep connections alive, say
/// nothing.
Status AnswerStream::take_line(std::string_view line) {
  if (line.empty()) return take_event();
  if (!line.starts_with("data:")) return {};
  line.remove_prefix(line.starts_with("data: ") ? 6 : 5);
  if (has_data_) data_ += '\n';
  data_ += line;
  has_data_ = true;
  return {};
}

Status AnswerStream::take_event() {
  if (!has_data_) return {};
  has_data_ = false;
  const std::string data = std::move(data_);
  data_.clear();
  if (data == "[DONE]") {
    done_ = true;
    return {};
  }
  const auto chunk = parse_json(data);
  if (!chunk || !chunk->is_object())
    return bad_data("the endpoint streams what is no JSON object: {}", quote(data.substr(0, 200)));
  return take_chunk(*chunk);
}

Status AnswerStream::take_chunk(const json::value& chunk) {
  if (const json::value* e = json_find(chunk, "error"); e && !e->is_null()) {
    const std::string message = e->is_string() ? std::string(e->get_string()) : text_at(*e, "message");
    return bad_data("the endpoint broke off with an error: {}",
                    message.empty() ? "no explanation" : quote(message.substr(0, 500)));
  }
  if (const int64_t n = usage_count(chunk, "prompt_tokens")) answer_.prompt_tokens = n;
  if (const int64_t n = usage_count(chunk, "completion_tokens")) answer_.tokens = n;
  const json::array* choices = json_array(json_find(chunk, "choices"));
  if (!choices) return bad_data("a chunk of the endpoint's answer has no choices");
  if (choices->empty()) return {};  // the one that counts tokens
  const json::value& choice = choices->front();
  const json::value* delta = json_find(choice, "delta");
  const std::string text = delta ? text_at(*delta, "content") : text_at(choice, "text");
  const std::string reasoning = delta ? reasoning_of(*delta) : "";
  if (!text.empty() || !reasoning.empty()) note_first_token();
  answer_.text += text;
  answer_.reasoning += reasoning;
  if (const json::array* calls = delta ? json_array(json_find(*delta, "tool_calls")) : nullptr)
    CARAT_DO(take_tool_calls(*calls));
  if (const json::string* reason = json_string(json_find(choice, "finish_reason")))
    finish_reason_ = std::string(*reason);
  return {};
}

/// Pieces of calls, which their index puts together.
Status AnswerStream::take_tool_calls(const json::array& calls) {
  for (size_t i = 0; i < calls.size(); ++i) {
    const json::value* number = json_find(calls[i], "index");
    const int64_t index = number && number->is_int64() ? number->get_int64() : static_cast<int64_t>(i);
    if (index < 0 || index >= static_cast<int64_t>(most_tool_calls))
      return bad_data("the endpoint streams a tool call of index {}", index);
    if (calls_.size() <= static_cast<size_t>(index)) calls_.resize(index + 1);
    const json::value* function = json_find(calls[i], "function");
    if (!function) continue;
    note_first_token();
    calls_[index].first += text_at(*function, "name");
    calls_[index].second += arguments_of(*function);
  }
  return {};
}

void AnswerStream::note_first_token() {
  if (answer_.first_token_seconds == 0) answer_.first_token_seconds = watch_.seconds();
}

Result<GeneratedText> AnswerStream::finish() && {
  // The last event may lack its empty line, and servers differ in whether they say [DONE].
  if (!done_ && !line_.empty()) CARAT_DO(take_line(line_));
  if (!done_) CARAT_DO(take_event());
  if (!done_ && !finish_reason_)
    return bad_data("the endpoint's stream ended before its answer did, after {}",
                    answer_.text.empty() ? "no text" : quote(answer_.text.substr(0, 100)));
  answer_.seconds = watch_.seconds();
  answer_.truncated = finish_reason_ == "length";
  answer_.tool_calls = std::move(calls_);
  return std::move(answer_);
}

}  // namespace carat
