// Any bytes as a file of each public format: the first byte says of which.
#include "fuzz/check.h"
#include "fuzz/memory_file.h"
#include "suites/import.h"

namespace {

using namespace carat;

class Count final : public ImportSink {
 public:
  Status item(const std::string& place, json::object&&) override {
    fuzz::check(!place.empty());
    ++items;
    return {};
  }
  Status example(json::object&&) override { return {}; }
  const std::string& examples_file() const override { return file_; }
  int64_t items = 0;

 private:
  std::string file_ = "examples.jsonl";
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto formats = importers();
  const Importer& importer = formats[data[0] % formats.size()];
  const fuzz::MemoryFile file(data + 1, size - 1);
  Count first, second;
  const ImportRequest request{.files = {file.path()}, .split = "blank"};
  const auto settings = importer.read(request, first);
  const auto again = importer.read(request, second);
  fuzz::check(settings.ok() == again.ok() && first.items == second.items);
  if (settings.ok())
    fuzz::check(*settings == *again && !settings->empty());
  else
    fuzz::check(settings.error().code == Code::bad_data && settings.error().message.size() < 2000);
  return 0;
}
