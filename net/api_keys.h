// The keys that clients must show, hashed from the moment they are read.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// Immutable after construction; safe to share between threads.
class ApiKeys {
 public:
  ApiKeys() = default;  // no keys: every client is let in
  // One key a line; empty lines and lines that begin with # are skipped. An unreadable file, or one without
  // keys, is an Error.
  explicit ApiKeys(const std::filesystem::path& file);

  bool asked() const { return !digests_.empty(); }
  // The tenant's name (a prefix of the key's hash) for a header "Bearer KEY", or empty when the key is
  // unknown. Takes the same time for every key.
  std::optional<std::string> tenant(std::string_view authorization) const;

 private:
  std::vector<std::array<uint8_t, 32>> digests_;
};

}  // namespace uhd
