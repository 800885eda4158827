#include "base/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

namespace carat {

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(Bytes bytes) { EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()); }
void Sha256::update(std::string_view text) { EVP_DigestUpdate(impl_->context, text.data(), text.size()); }

std::string Sha256::hex() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(impl_->context, raw, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", raw[i]);
  return text;
}

struct Xxh3::Impl {
  XXH3_state_t* state = XXH3_createState();
  ~Impl() { XXH3_freeState(state); }
};

Xxh3::Xxh3() : impl_(std::make_unique<Impl>()) { XXH3_64bits_reset(impl_->state); }
Xxh3::~Xxh3() = default;
Xxh3::Xxh3(Xxh3&&) noexcept = default;
Xxh3& Xxh3::operator=(Xxh3&&) noexcept = default;

void Xxh3::update(Bytes bytes) { XXH3_64bits_update(impl_->state, bytes.data(), bytes.size()); }
uint64_t Xxh3::value() const { return XXH3_64bits_digest(impl_->state); }

std::string sha256_hex(Bytes bytes) {
  Sha256 h;
  h.update(bytes);
  return h.hex();
}
std::string sha256_hex(std::string_view text) {
  Sha256 h;
  h.update(text);
  return h.hex();
}
uint64_t xxh3(Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace carat
