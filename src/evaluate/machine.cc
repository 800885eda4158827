#include "evaluate/machine.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/digest.h"
#include "containers/mapped_file.h"
#include "quantize/provenance.h"

namespace carat {

json::object hardware() {
  json::object out;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) out["processor"] = line.substr(colon + 2);
    break;
  }
  out["logical_processors"] = sysconf(_SC_NPROCESSORS_ONLN);
  const int64_t pages = sysconf(_SC_PHYS_PAGES);
  if (pages > 0) out["memory_bytes"] = pages * sysconf(_SC_PAGESIZE);
  utsname system = {};
  if (uname(&system) == 0)
    out["system"] = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  return out;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

int64_t peak_memory() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} << 10;
}

Result<std::string> model_digest(const Context& context, const std::vector<std::string>& files) {
  constexpr uint64_t slab = 16 << 20;
  std::map<std::string, std::string> digests;  // by name
  uint64_t all_bytes = 0, done = 0;
  for (const std::string& path : files) {
    std::error_code ignored;
    const auto bytes = std::filesystem::file_size(path, ignored);
    if (!ignored) all_bytes += bytes;
  }
  context.progress.begin("digest of the model", "bytes", all_bytes);
  for (const std::string& path : files) {
    CARAT_TRY(const auto file, MappedFile::open(path));
    Sha256 sha;
    for (uint64_t at = 0; at < file->bytes().size(); at += slab) {
      CARAT_DO(context.check());
      const uint64_t count = std::min<uint64_t>(slab, file->bytes().size() - at);
      file->prepare(at, count);
      sha.update(file->bytes().subspan(at, count));
      file->release(at, count);
      context.progress.update(done += count, path);
    }
    digests[std::filesystem::path(path).filename().string()] = sha.hex();
  }
  context.progress.end();
  if (digests.size() == 1) return digests.begin()->second;
  Sha256 all;
  for (const auto& [name, digest] : digests) {
    all.update(name);
    all.update(std::string_view("\0", 1));
    all.update(digest + "\n");
  }
  return all.hex();
}

json::object encoding_mix(const Checkpoint& checkpoint) {
  std::map<std::string_view, uint64_t> bytes;
  for (const Tensor& tensor : checkpoint.tensors) bytes[tensor.encoding->name] += tensor.bytes();
  std::vector<std::pair<std::string_view, uint64_t>> sorted(bytes.begin(), bytes.end());
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.second > b.second; });
  json::object out;
  for (const auto& [name, count] : sorted) out[name] = count;
  return out;
}

json::object file_evidence(const Checkpoint& checkpoint) {
  json::object out;
  for (const auto& [key, value] : checkpoint.metadata.entries()) {
    const bool wanted = key == "general.name" || key == "general.architecture" ||
                        (key.starts_with("carat.") && !key.starts_with("carat.sidecar."));
    if (!wanted) continue;
    if (const auto* text = std::get_if<std::string>(&value.data)) out[key] = *text;
    if (const auto* n = std::get_if<uint64_t>(&value.data)) out[key] = *n;
    if (const auto* n = std::get_if<int64_t>(&value.data)) out[key] = *n;
    if (const auto* x = std::get_if<double>(&value.data)) out[key] = *x;
    if (const auto* b = std::get_if<bool>(&value.data)) out[key] = *b;
    const auto* array = std::get_if<Array>(&value.data);
    if (array && array->element == ValueType::string && array->size() <= 64)
      out[key] = json::value_from(array->strings);
  }
  return out;
}

json::array tensor_errors(const Checkpoint& checkpoint) {
  json::array out;
  const auto errors = checkpoint.metadata.floats_at(kRelativeErrorKey);
  if (!errors || errors->size() != checkpoint.tensors.size()) return out;
  for (size_t i = 0; i < errors->size(); ++i) {
    const float error = (*errors)[i];
    if (!std::isfinite(error) || error < 0) continue;
    const Tensor& tensor = checkpoint.tensors[i];
    out.push_back({{"name", tensor.name}, {"encoding", tensor.encoding->name}, {"relative_error", error}});
  }
  return out;
}

}  // namespace carat
