#include "cluster/encoders/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/mapped_file.h"

namespace uhd {
namespace {

constexpr mode_t kOwnFolder = 0700;
constexpr mode_t kOwnFile = 0600;

std::filesystem::path own_folder() {
  for (const auto& [variable, name] : {std::pair("XDG_RUNTIME_DIR", "uhd"), std::pair("HOME", ".uhd")}) {
    const char* base = std::getenv(variable);
    if (base == nullptr || *base != '/') continue;
    std::filesystem::path folder = std::filesystem::path(base) / name;
    if (mkdir(folder.c_str(), kOwnFolder) == 0 || errno == EEXIST) return folder;
  }
  throw Error("this user has no folder for the secret of leader and encoders; set cluster.secret_file");
}

// The file belongs to this user, and is closed to all others.
bool is_private(const std::filesystem::path& path, mode_t kind) {
  struct stat found {};
  return lstat(path.c_str(), &found) == 0 && (found.st_mode & S_IFMT) == kind && found.st_uid == geteuid() &&
         (found.st_mode & 0077) == 0;
}

// The file appears whole or not at all; a caller that finds one there leaves it.
void make_secret(const std::filesystem::path& file) {
  const std::string draft = message(file.string(), '.', getpid());
  const int opened = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, kOwnFile);
  require(opened >= 0, "cannot write ", draft, "; set cluster.secret_file");
  const std::string text = random_secret() + "\n";
  const bool written = write(opened, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(opened);
  if (written) link(draft.c_str(), file.c_str());
  unlink(draft.c_str());
}

}  // namespace

std::string own_secret() {
  const std::filesystem::path folder = own_folder();
  const std::filesystem::path file = folder / "secret";
  require(is_private(folder, S_IFDIR), "other users may look into ", folder.string(),
          ", so no secret can lie there; set cluster.secret_file");
  if (!std::filesystem::exists(file)) make_secret(file);
  require(is_private(file, S_IFREG), "other users may have read ", file.string(),
          "; remove it, or set cluster.secret_file");
  return read_secret(file);
}

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
  check(RAND_bytes(bytes.data(), static_cast<int>(count)) == 1, "the system gives no random numbers");
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
