// Replaces a text within another.
#pragma once

#include <string>
#include <string_view>

namespace uhd {

// Returns the text with `to` in place of each `from`, which is not empty.
inline std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found = text.find(from); found != std::string_view::npos; found = text.find(from, at)) {
    out.append(text, at, found - at);
    out += to;
    at = found + from.size();
  }
  out.append(text, at, std::string_view::npos);
  return out;
}

}  // namespace uhd
