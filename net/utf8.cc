#include "net/utf8.h"

#include <algorithm>
#include <cstdint>

namespace uhd {
namespace {

// Length of the valid character at the start of `s`, or 0: no overlong forms, surrogates or values above
// U+10FFFF.
size_t character_length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t n = lead >= 0xC2 && lead <= 0xDF   ? 2
                   : (lead & 0xF0) == 0xE0        ? 3
                   : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                  : 0;
  if (n == 0 || s.size() < n) return 0;
  for (size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) ||
      (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return n;
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t n = character_length(bytes);
    if (n == 0) {
      text += "\xEF\xBF\xBD";
    } else {
      text += bytes.substr(0, n);
    }
    bytes.remove_prefix(n == 0 ? 1 : n);
  }
  return text;
}

size_t first_invalid_utf8(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t n = character_length(bytes.substr(at));
    if (n == 0) return at;
    at += n;
  }
  return at;
}

std::string quoted(std::string_view bytes, size_t most) {
  std::string text;
  while (!bytes.empty()) {
    const size_t n = std::max<size_t>(1, character_length(bytes));
    if (text.size() + n > most) return text + "...";
    const bool control = static_cast<uint8_t>(bytes[0]) < 0x20 || bytes[0] == 0x7F;
    text += control ? std::string(1, '?') : valid_utf8(bytes.substr(0, n));
    bytes.remove_prefix(n);
  }
  return text;
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<uint8_t>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

}  // namespace uhd
