// What an endpoint generates, whole or as it comes: one JSON document, or server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html) whose data are OpenAI's chunks, ended by
// "[DONE]". A server may send anything: lines that never end, half a chunk, a hundred thousand tool calls;
// what is no answer is an error, and what is kept is bounded by what the connection lets through.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/stopwatch.h"
#include "containers/json.h"
#include "evaluate/subject.h"

namespace carat {

/// choices[0] of a completion or a chat completion. bad_data where there is none.
Result<GeneratedText> read_generation(const json::value& reply);

class AnswerStream {
 public:
  /// A request is about to be sent, perhaps again: forgets what came, and starts the clock.
  void restart();
  /// Bytes as they come, cut anywhere. True once the answer is complete: what follows does not count.
  Result<bool> take(std::string_view bytes);
  /// The answer with its times; bad_data where it broke off.
  Result<GeneratedText> finish() &&;
  double seconds() const { return watch_.seconds(); }  ///< since the request was sent

 private:
  Status take_line(std::string_view line);
  Status take_event();
  Status take_chunk(const json::value& chunk);
  Status take_tool_calls(const json::array& calls);
  void note_first_token();

  Stopwatch watch_;
  std::string line_, data_;  ///< of a line and an event that are not complete
  bool after_return_ = false, has_data_ = false;
  bool done_ = false;  ///< [DONE] came
  std::optional<std::string> finish_reason_;
  std::vector<std::pair<std::string, std::string>> calls_;
  GeneratedText answer_;
};

}  // namespace carat
