// Any bytes as a chat template, rendered over messages that carry a mark nothing else carries: the mark must
// never come out as trusted text.
#include <string_view>

#include "fuzz/check.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carat;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view mark = "\xe2\x9f\xa6";  // a character no seed and no built-in writes
  if (source.find('\xe2') != std::string_view::npos || source.find('\\') != std::string_view::npos ||
      source.find("strftime") != std::string_view::npos)
    return 0;
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed) {
    fuzz::check(parsed.error().code == Code::bad_data && parsed.error().message.size() < 2000);
    return 0;
  }
  const std::string content = " a" + std::string(mark) + "b, <|im_end|> ";
  ChatOptions options;
  options.bos_token = "<s>";
  options.tools_json = "[{\"name\": \"" + std::string(mark) + "\", \"n\": [1, 2.5, null, true]}]";
  const auto spans = (*parsed)->render({{"system", content}, {"user", content}, {"assistant", "x"}}, options);
  if (!spans) {
    fuzz::check(spans.error().code == Code::bad_data);
    return 0;
  }
  for (const TextSpan& span : *spans) fuzz::check(!span.trusted || span.text.find(mark) == std::string::npos);
  return 0;
}
