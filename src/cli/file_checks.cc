#include "cli/file_checks.h"

#include <filesystem>

#include "containers/mapped_file.h"

namespace carat {
namespace {

bool same(const std::string& a, const std::string& b) {
  if (is_one_of(a, {b})) return true;
  std::error_code bad_a, bad_b;
  const auto x = std::filesystem::weakly_canonical(a, bad_a), y = std::filesystem::weakly_canonical(b, bad_b);
  return !bad_a && !bad_b && x == y;
}

}  // namespace

Status check_files(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string& out = outputs[i];
    if (out.empty()) continue;
    for (const std::string& in : inputs)
      if (!in.empty() && same(out, in))
        return usage_error("{}: is read by this run; write to another name", out);
    for (size_t j = 0; j < i; ++j)
      if (!outputs[j].empty() && same(out, outputs[j]))
        return usage_error("{}: would be written twice; give the two files two names", out);
  }
  return {};
}

}  // namespace carat
