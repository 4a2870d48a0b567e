// A MarkedText remembers, byte by byte, whether a user typed it or the template wrote it. Templates trim, cut
// and join users' texts; the marks go along, so that the tokenizer can tell a special token from its
// imitation, and so that a message that a template loses is noticed.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// An Author says who wrote a byte: the template, or a user, by the number of the text that they typed.
using Author = unsigned char;
inline constexpr Author kTemplateWrote = 0;
inline constexpr Author kUserTyped = 1;
// This author marks text that a client gave to the template as a variable.
inline constexpr Author kUserVariable = 253;
// This author marks the last text of a conversation, which may be continued.
inline constexpr Author kUserTypedLast = 254;
// This author marks a user's text that is quoted as a part of a printed list or mapping.
inline constexpr Author kUserQuoted = 255;

struct MarkedText {
  std::string text;
  std::string typed;  // the author of each byte of text

  MarkedText() = default;
  explicit MarkedText(std::string_view plain, Author author = kTemplateWrote)
      : text(plain), typed(plain.size(), static_cast<char>(author)) {}

  size_t size() const { return text.size(); }
  void append(const MarkedText& other) {
    text += other.text;
    typed += other.typed;
  }
  void append(std::string_view plain, Author author = kTemplateWrote) {
    text += plain;
    typed.append(plain.size(), static_cast<char>(author));
  }
  Author author(size_t at) const { return static_cast<Author>(typed[at]); }
  MarkedText substr(size_t begin, size_t count = std::string::npos) const {
    MarkedText part;
    part.text = text.substr(begin, count);
    part.typed = typed.substr(begin, count);
    return part;
  }
  std::vector<TextRange> typed_ranges() const {
    std::vector<TextRange> ranges;
    for (size_t at = typed.find_first_not_of('\0'); at < typed.size();
         at = typed.find_first_not_of('\0', ranges.back().end)) {
      ranges.push_back({at, std::min(typed.find('\0', at), typed.size())});
    }
    return ranges;
  }
};

}  // namespace uhd
