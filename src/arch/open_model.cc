#include "arch/open_model.h"

#include <filesystem>

#include "arch/hf_import.h"
#include "containers/gguf.h"

namespace carat {

Result<Checkpoint> open_model(const std::string& path) {
  if (path.empty()) return usage_error("a model is named by an empty path; give a GGUF file or a directory");
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  if (ec == std::errc::no_such_file_or_directory)
    return error(Code::no_input, "{}: there is no such file or directory", path);
  if (ec) return error(Code::no_input, "{}: cannot open: {}", path, ec.message());
  if (std::filesystem::is_directory(status)) return import_hf_directory(path);
  if (path.ends_with(".safetensors"))
    return error(Code::no_input,
                 "{}: weights alone are no model; name the directory that also has config.json and the "
                 "tokenizer",
                 path);
  CARAT_TRY(Checkpoint checkpoint, read_gguf(path));
  const auto type = checkpoint.metadata.string_or("general.type", "model");
  if (type && (*type == "imatrix" || *type == "carat.hessians"))
    return bad_data("{}: holds what a calibration found, and no model", path);
  return checkpoint;
}

}  // namespace carat
