// Requests of one tenant, with one model, may share what is computed; a salt keeps others apart.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "engine/leader/leader_parts.h"

namespace uhd {

// Returns the salt of fingerprints of slices. The length goes first, so that no identity and tenant together
// spell another pair.
inline std::string cache_salt(const LeaderParts& parts, const std::string& tenant) {
  return message(parts.identity.size(), ':', parts.identity, parts.options.share_caches ? "" : tenant);
}

// Returns the root of the names of pages (Sequence::cache_root), or nothing where no pages are kept.
inline std::optional<Fingerprint> cache_root(const LeaderParts& parts, const std::string& tenant) {
  if (!parts.options.prefix_cache) return std::nullopt;
  return fingerprint({bytes_of(cache_salt(parts, tenant))});
}

}  // namespace uhd
