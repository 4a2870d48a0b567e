// Text that remembers, byte by byte, what a user typed and what the template wrote. Templates trim, cut and
// join what users typed; the marks go along, so that the tokenizer can tell a special token from its
// imitation.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

struct MarkedText {
  std::string text;
  std::string typed;  // one byte per byte of text: 1 where a user typed it

  MarkedText() = default;
  explicit MarkedText(std::string_view plain, bool by_user = false)
      : text(plain), typed(plain.size(), by_user ? '\1' : '\0') {}

  size_t size() const { return text.size(); }
  void append(const MarkedText& other) {
    text += other.text;
    typed += other.typed;
  }
  void append(std::string_view plain, bool by_user = false) {
    text += plain;
    typed.append(plain.size(), by_user ? '\1' : '\0');
  }
  MarkedText substr(size_t begin, size_t count = std::string::npos) const {
    MarkedText part;
    part.text = text.substr(begin, count);
    part.typed = typed.substr(begin, count);
    return part;
  }
  bool any_typed() const { return typed.find('\1') != std::string::npos; }
  std::vector<TextRange> typed_ranges() const {
    std::vector<TextRange> ranges;
    for (size_t at = typed.find('\1'); at < typed.size(); at = typed.find('\1', ranges.back().end)) {
      ranges.push_back({at, std::min(typed.find('\0', at), typed.size())});
    }
    return ranges;
  }
};

}  // namespace uhd
