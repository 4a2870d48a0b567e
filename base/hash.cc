#include "base/hash.h"

#include <openssl/evp.h>

#include <memory>

#include "base/error.h"

namespace uhd {
namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
          "SHA-256 is absent");
  }
  void add(std::span<const std::byte> bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::array<uint8_t, 32> finish() {
    std::array<uint8_t, 32> digest{};
    EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string Fingerprint::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (uint64_t word : {high, low}) {
    for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(word >> shift) & 15];
  }
  return text;
}

Fingerprint fingerprint(std::initializer_list<std::span<const std::byte>> parts) {
  Sha256 hash;
  for (auto part : parts) {
    const uint64_t length = part.size();
    hash.add(bytes_of(length));
    hash.add(part);
  }
  const auto digest = hash.finish();
  Fingerprint result;
  std::memcpy(&result, digest.data(), sizeof(result));
  return result;
}

std::array<uint8_t, 32> sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

}  // namespace uhd
