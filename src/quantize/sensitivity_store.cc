#include "quantize/sensitivity_store.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "containers/mapped_file.h"

namespace carat {
namespace {

constexpr uint64_t kFileLimit = 256u << 20;

Error failed(const std::string& path, std::string_view what) {
  return error(Code::io, "{}: {}: {}", path, what, std::strerror(errno));
}

}  // namespace

Result<SensitivityStore> SensitivityStore::open(const std::string& path, const SensitivityOrigin& origin) {
  SensitivityStore store;
  store.path_ = path;
  if (path.empty()) return store;
  size_t whole = 0;
  if (file_exists(path)) {
    CARAT_TRY(const std::string text, read_small_file(path, kFileLimit));
    CARAT_TRY(SensitivityText parsed, parse_sensitivities(text, path, origin));
    store.tensors_ = std::move(parsed.tensors);
    whole = parsed.whole_bytes;
  }
  store.file_.reset(std::fopen(path.c_str(), "ae"));
  if (!store.file_) return failed(path, "cannot be written");
  if (ftruncate(fileno(store.file_.get()), static_cast<off_t>(whole)) != 0)
    return failed(path, "cannot be cut");
  if (whole == 0) CARAT_DO(store.append(format_origin(origin)));
  return store;
}

Status SensitivityStore::add(TensorSensitivity tensor) {
  CARAT_DO(append(format_sensitivity(tensor)));
  std::string name = tensor.tensor;
  tensors_.insert_or_assign(std::move(name), std::move(tensor));
  return {};
}

Status SensitivityStore::append(std::string_view text) {
  if (!file_) return {};
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0)
    return failed(path_, "cannot be written");
  return {};
}

}  // namespace carat
