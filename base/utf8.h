// UTF-8: stepping through it, repairing it, and reading it from bytes that come one at a time. A valid
// character has no overlong form, is no surrogate and is at most U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace uhd {

inline constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// A Replacement says how many U+FFFD stand for an invalid sequence.
enum class Replacement : uint8_t { per_subpart, per_byte };

// Tells whether this byte of valid text begins a character.
inline bool begins_character(char byte) { return (static_cast<uint8_t>(byte) & 0xc0) != 0x80; }

// Returns the bytes of the character that begins at `at`: 1 to 4; 0 when no valid character begins there.
size_t utf8_length(std::string_view text, size_t at);
// A CodePoint is the character at `at` of valid text, and its number of bytes.
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;
};
CodePoint utf8_at(std::string_view text, size_t at);
void append_utf8(std::string& out, uint32_t code_point);
// Returns where the first byte stands that is not part of a valid character; the size, if there is none.
size_t first_invalid_utf8(std::string_view text);
bool is_utf8(std::string_view text);
// Counts the code points of valid text, as Python's len() does.
size_t count_characters(std::string_view text);
// Returns how many of the bytes at `at`, at most to the end of the text, could be the beginning of a valid
// character (Unicode's maximal subpart); at least 1.
size_t utf8_subpart(std::string_view text, size_t at);
// Returns the text with U+FFFD for what is invalid.
std::string repair_utf8(std::string_view text, Replacement replacement);

// A Utf8Stream turns bytes into valid text, as soon as each character is complete.
class Utf8Stream {
 public:
  explicit Utf8Stream(Replacement replacement) : replacement_(replacement) {}
  void push(std::string_view bytes, std::string& settled);
  // Says that no more bytes come: an unfinished character becomes U+FFFD.
  void finish(std::string& settled);
  std::string_view tail() const { return tail_; }

 private:
  void replace(size_t bytes, std::string& out) const;

  Replacement replacement_;
  std::string unfinished_;  // the beginning of a character, at most 3 bytes
  std::string tail_;
};

}  // namespace uhd
