#include "cli/split_size.h"

#include "cli/budget_options.h"
#include "cli/format.h"

namespace carat {

void add_split_size(CLI::App& app, uint64_t& bytes) {
  app.add_option_function<std::string>(
         "--split-size",
         [&bytes](const std::string& text) {
           const auto size = parse_size(text);  // checked below
           bytes = size ? *size : 0;
         },
         "Several files of at most this size (4GiB), but for tensors that are larger:\n"
         "OUT-00001-of-0000N.gguf, as llama.cpp names and reads them")
      ->check([](const std::string& text) {
        const auto size = parse_size(text);
        return size ? std::string() : size.error().message;
      })
      ->type_name("SIZE");
}

std::string written_files(const std::string& out, const std::vector<std::string>& files) {
  if (files.size() < 2) return printable(out);
  return fmt::format("{} and {} more part{}", printable(files.front()), files.size() - 1,
                     files.size() == 2 ? "" : "s");
}

}  // namespace carat
