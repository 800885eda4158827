// For the tests of containers: a directory that goes away, files by their bytes, GGUF and safetensors bytes
// built by hand (not by the writers under test), and a count of what is allocated.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace carat::testing {

class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "carat-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string file_text(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

/// Bytes appended piece by piece.
struct Blob {
  std::string bytes;

  template <class T>
  Blob& raw(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  Blob& u32(uint32_t v) { return raw(v); }
  Blob& u64(uint64_t v) { return raw(v); }
  Blob& plain(std::string_view text) {
    bytes += text;
    return *this;
  }
  Blob& text(std::string_view t) {
    u64(t.size());
    bytes += t;
    return *this;
  }
  Blob& zeros(size_t n) {
    bytes.append(n, '\0');
    return *this;
  }
  Blob& pad(size_t to) { return zeros((to - bytes.size() % to) % to); }

  Blob& gguf(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return plain("GGUF").u32(version).u64(tensors).u64(keys);
  }
  Blob& tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(ne.size()));
    for (const uint64_t n : ne) u64(n);
    return u32(type).u64(offset);
  }
};

inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return Blob().text(header).plain(data).bytes;
}

/// Bytes allocated through operator new and not yet freed, and their peak since the last reset. Counted by
/// the replacements in allocation_test.cc, which is part of the same test program.
size_t allocated_now();
size_t allocated_peak();
void reset_allocated_peak();

}  // namespace carat::testing
