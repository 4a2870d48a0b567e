#include "base/hash.h"

// The newer interface finds SHA-256 among all algorithms of a provider, which takes 2 MiB more. These
// functions are deprecated, and in every OpenSSL that is built with them.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace uhd {
namespace {

class Sha256 {
 public:
  Sha256() { SHA256_Init(&state_); }
  void add(std::span<const std::byte> bytes) { SHA256_Update(&state_, bytes.data(), bytes.size()); }
  std::array<uint8_t, 32> finish() {
    std::array<uint8_t, 32> digest{};
    SHA256_Final(digest.data(), &state_);
    return digest;
  }

 private:
  SHA256_CTX state_{};
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
