#include "net/api_keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/ascii.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mapped_file.h"

namespace uhd {
namespace {

constexpr size_t kMaxKeyBytes = 1024;

std::string hex_prefix(const std::array<uint8_t, 32>& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < 8; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace

ApiKeys::ApiKeys(const std::filesystem::path& file) {
  const std::string text = read_text_file(file, 1 << 20);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size() - 1);
    const std::string_view line = trim_ascii(rest.substr(0, end + 1));
    rest.remove_prefix(end + 1);
    if (!line.empty() && line.front() != '#') add(line);
  }
  require(!digests_.empty(), "the API key file ", file.string(), " holds no key");
}

// The error must not show the key.
void ApiKeys::add(std::string_view line) {
  constexpr std::string_view kQuota = "quota=";
  const size_t space = line.find_first_of(" \t");
  const std::string_view key = line.substr(0, space);
  const auto digest = sha256(bytes_of(key));
  digests_.push_back(digest);
  const bool sent = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  require(sent && key.size() <= kMaxKeyBytes, "key ", digests_.size(),
          " of the API key file can be sent by no client: a key is at most ", kMaxKeyBytes,
          " letters, digits and signs of ASCII");
  if (space == std::string_view::npos) return;
  const std::string_view word = trim_ascii(line.substr(space));
  double quota = 0;
  const char* end = word.data() + word.size();
  const bool named = word.starts_with(kQuota);
  const auto read = std::from_chars(word.data() + (named ? kQuota.size() : 0), end, quota);
  require(named && read.ec == std::errc() && read.ptr == end && quota > 0 && std::isfinite(quota), "key ",
          digests_.size(),
          " of the API key file is not followed by quota=SECONDS, a positive number, or by nothing");
  quotas_[hex_prefix(digest)] = quota;
}

double ApiKeys::quota(const std::string& tenant) const {
  const auto found = quotas_.find(tenant);
  return found == quotas_.end() ? 0 : found->second;
}

std::optional<std::string> ApiKeys::tenant(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if ((authorization[i] | 0x20) != kScheme[i]) return std::nullopt;
  }
  const auto shown = sha256(bytes_of(trim_ascii(authorization.substr(kScheme.size()))));
  bool known = false;
  for (const auto& digest : digests_) {
    uint8_t difference = 0;
    for (size_t i = 0; i < digest.size(); ++i) difference |= digest[i] ^ shown[i];
    known |= difference == 0;
  }
  if (!known) return std::nullopt;
  return hex_prefix(shown);
}

}  // namespace uhd
