// Any bytes as suite.toml, and behind a zero byte as lines of its tasks: what is wrong is said in one
// sentence, and what is right has a canonical form that reads back as itself.
#include <string_view>

#include "fuzz/check.h"
#include "suites/canonical.h"
#include "suites/item_reader.h"

namespace {

using namespace carat;

void check_error(const Error& error) {
  fuzz::check(error.code == Code::bad_data || error.code == Code::no_input);
  fuzz::check(!error.message.empty() && error.message.size() < 20000);
}

void check_canonical(const json::object& object) {
  std::string text, again;
  append_canonical(object, text);
  const auto back = parse_json(text);
  fuzz::check(back.ok());
  append_canonical(*back, again);
  fuzz::check(text == again);
}

void check_item(const TaskFile& task, const Item& item) {
  fuzz::check(!item.id.empty() && !item.cluster.empty());
  switch (task.task.kind) {
    case TaskKind::perplexity:
      fuzz::check(!item.text.empty());
      break;
    case TaskKind::choice:
      fuzz::check(item.gold >= 0 && item.gold < static_cast<int64_t>(item.choices.size()));
      fuzz::check(item.contexts.size() == 1 || item.contexts.size() == item.choices.size());
      break;
    case TaskKind::generate:
      fuzz::check(item.prompt.empty() != item.turns.empty());
      break;
  }
  check_canonical(to_json(item));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  // Loops within loops take their time up to a limit, which fuzz_template tries.
  if (text.find("range") != std::string_view::npos || text.find("for") != text.rfind("for")) return 0;
  const size_t split = text.find('\0');
  const auto suite = parse_suite_file(text.substr(0, split), "suite.toml");
  if (!suite) {
    check_error(suite.error());
    return 0;
  }
  const std::string_view lines =
      split == std::string_view::npos ? std::string_view() : text.substr(split + 1);
  for (const TaskFile& task : suite->tasks) {
    check_canonical(to_json(task.task));
    const auto reader = ItemReader::open("/nonexistent/", task);
    if (!reader) {
      check_error(reader.error());
      continue;
    }
    size_t begin = 0;
    for (int64_t number = 1; begin < lines.size() && number <= 4; ++number) {
      const size_t end = std::min(lines.find('\n', begin), lines.size());
      const auto item = reader->read(lines.substr(begin, end - begin), number);
      if (item.ok())
        check_item(task, *item);
      else
        check_error(item.error());
      begin = end + 1;
    }
  }
  return 0;
}
