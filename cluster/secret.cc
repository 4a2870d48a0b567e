#include "cluster/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/error.h"
#include "base/mapped_file.h"

namespace uhd {

std::string read_secret(const std::filesystem::path& file) {
  constexpr size_t kShortest = 16;
  constexpr size_t kLongest = 4096;
  std::string secret = read_text_file(file, kLongest);
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  require(secret.size() >= kShortest, "the secret in ", file.string(), " has ", secret.size(),
          " bytes; it needs at least ", kShortest, " (openssl rand -hex 32 makes a good one)");
  return secret;
}

std::string random_secret() {
  const auto bytes = random_bytes(32);
  std::string text;
  for (uint8_t b : bytes) {
    text += "0123456789abcdef"[b >> 4];
    text += "0123456789abcdef"[b & 15];
  }
  return text;
}

std::vector<uint8_t> random_bytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  check(RAND_bytes(bytes.data(), static_cast<int>(count)) == 1, "no random numbers to be had");
  return bytes;
}

std::vector<uint8_t> hmac_sha256(const std::string& key, std::span<const std::byte> text) {
  std::vector<uint8_t> mac(32);
  unsigned length = 0;
  const auto* made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &length);
  check(made != nullptr && length == mac.size(), "HMAC failed");
  return mac;
}

bool equal_secrets(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace uhd
