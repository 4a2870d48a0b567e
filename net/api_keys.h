// Holds the keys that clients must show, hashed from the moment they are read.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace uhd {

// ApiKeys is immutable after construction, and safe to share between threads.
class ApiKeys {
 public:
  ApiKeys() = default;  // knows no keys: every client is let in
  // Reads one key per line, and skips empty lines and lines that begin with #. Behind a key may stand
  // quota=SECONDS, of work in a minute. A line of another form, an unreadable file, or one without keys is an
  // Error.
  explicit ApiKeys(const std::filesystem::path& file);

  bool asked() const { return !digests_.empty(); }
  // Returns the tenant's name (a prefix of the key's hash) for a header "Bearer KEY", or nothing when the key
  // is unknown. It takes the same time for every key.
  std::optional<std::string> tenant(std::string_view authorization) const;
  // Returns the seconds of work that the tenant may cost in a minute; 0: as many as it likes.
  double quota(const std::string& tenant) const;

 private:
  void add(std::string_view line);

  std::vector<std::array<uint8_t, 32>> digests_;
  std::unordered_map<std::string, double> quotas_;  // quotas of the tenants that have one
};

}  // namespace uhd
