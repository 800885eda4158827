// read_safetensors_directory on any index beside two sound shards, "s1" with tensor "a" and "s2" with tensor
// "b".
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "containers/safetensors.h"
#include "fuzz/check.h"

namespace {

struct Directory {
  std::string path = (std::filesystem::temp_directory_path() / "carat-fuzz-XXXXXX").string();

  Directory() {
    carat::fuzz::check(mkdtemp(path.data()) != nullptr);
    put("s1", shard("a"));
    put("s2", shard("b"));
  }
  ~Directory() { std::filesystem::remove_all(path); }
  void put(const std::string& name, std::string_view bytes) const {
    std::ofstream(path + "/" + name, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  static std::string shard(const std::string& tensor) {
    const std::string header = "{\"" + tensor + R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
    return static_cast<char>(header.size()) + std::string(7, '\0') + header + "1234";
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Directory directory;
  directory.put("model.safetensors.index.json", {reinterpret_cast<const char*>(data), size});
  carat::fuzz::check_checkpoint(carat::read_safetensors_directory(directory.path));
  return 0;
}
