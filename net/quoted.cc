#include "net/quoted.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace uhd {

std::string quoted(std::string_view bytes, size_t most) {
  std::string text;
  while (!bytes.empty()) {
    const size_t length = utf8_length(bytes, 0);
    const size_t taken = std::max<size_t>(1, length);
    if (text.size() + taken > most) return text + "...";
    const bool control = static_cast<uint8_t>(bytes[0]) < 0x20 || bytes[0] == 0x7F;
    text += control ? "?" : length == 0 ? kReplacement : bytes.substr(0, length);
    bytes.remove_prefix(taken);
  }
  return text;
}

}  // namespace uhd
