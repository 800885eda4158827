#include "suites/catalogue.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "containers/mapped_file.h"
#include "containers/quote.h"

namespace carat {

namespace fs = std::filesystem;

std::vector<std::string> suite_directories() {
  std::vector<std::string> out;
  const auto add = [&](std::string path) {
    if (!path.empty() && std::ranges::find(out, path) == out.end()) out.push_back(std::move(path));
  };
  if (const char* named = std::getenv("CARAT_SUITES")) {
    const std::string_view list = named;
    for (size_t begin = 0; begin <= list.size();) {
      const size_t end = std::min(list.find(':', begin), list.size());
      add(std::string(list.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  std::error_code none;
  fs::path directory = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (int up = 0; up < 5 && !directory.empty(); ++up, directory = directory.parent_path())
    for (const char* within : {"share/carat/suites", "suites"})
      if (fs::is_directory(directory / within, none)) add((directory / within).string());
  return out;
}

std::vector<SuiteEntry> suites_in(const std::vector<std::string>& directories) {
  std::map<std::string, std::string> found;
  for (const std::string& directory : directories) {
    std::error_code none;
    for (fs::directory_iterator i(directory, none), end; !none && i != end; i.increment(none))
      if (file_exists((i->path() / "suite.toml").string()))
        found.emplace(i->path().filename().string(), i->path().string());
  }
  std::vector<SuiteEntry> out;
  for (const auto& [name, path] : found) out.push_back({name, path});
  return out;
}

Result<std::string> find_suite(const std::string& path_or_name) {
  if (file_exists(path_or_name)) return path_or_name;
  std::vector<std::string> names;
  for (const SuiteEntry& entry : suites_in(suite_directories())) {
    if (entry.name == path_or_name) return entry.path;
    names.push_back(entry.name);
  }
  return error(Code::no_input, "there is no suite {}: neither a path nor one of those known ({})",
               quote(path_or_name), names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace carat
