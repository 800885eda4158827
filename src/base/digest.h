// Digests: SHA-256 where identity is claimed, XXH3 for quick per-tensor sums.
#pragma once

#include <memory>
#include <string>

#include "base/checked.h"

namespace carat {

/// SHA-256 of bytes as they come.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(Bytes bytes);
  void update(std::string_view text);
  /// 64 hexadecimal digits; the object is spent.
  std::string hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// XXH3 (64 bits) of bytes as they come; the same value as xxh3() of all of them.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(Xxh3&&) noexcept;
  Xxh3& operator=(Xxh3&&) noexcept;
  void update(Bytes bytes);
  uint64_t value() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string sha256_hex(Bytes bytes);
std::string sha256_hex(std::string_view text);
uint64_t xxh3(Bytes bytes);

}  // namespace carat
