// Makes 128-bit fingerprints of bytes (SHA-256, cut short), for cache keys that a client must not be able to
// collide.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace uhd {

struct Fingerprint {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Fingerprint&) const = default;
  std::string hex() const;
};

// Returns the fingerprint of the parts' bytes. Each part's length is hashed before it, so that ("ab","c") !=
// ("a","bc").
Fingerprint fingerprint(std::initializer_list<std::span<const std::byte>> parts);

// Returns the full digest, for API keys and for data shared between programs.
std::array<uint8_t, 32> sha256(std::span<const std::byte> bytes);

// Returns the bytes of a plain value, or the characters of a text (never the string object itself).
template <class T>
requires(std::is_trivially_copyable_v<T> && !std::is_convertible_v<const T&, std::string_view>)
    std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace uhd

template <>
struct std::hash<uhd::Fingerprint> {
  size_t operator()(const uhd::Fingerprint& f) const noexcept { return f.low; }
};
