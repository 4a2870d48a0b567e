#include "net/trace_parent.h"

#include <algorithm>

namespace uhd {

namespace {

constexpr size_t kLength = 55;  // 00-<32 digits>-<16 digits>-01

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

TraceContext parse_trace_parent(std::string_view header) {
  if (header.size() < kLength) return {};
  const std::string_view version = header.substr(0, 2), id = header.substr(3, 32),
                         parent = header.substr(36, 16), flags = header.substr(53, 2);
  const bool dashes = header[2] == '-' && header[35] == '-' && header[52] == '-';
  const bool hex = is_hex(version) && is_hex(id) && is_hex(parent) && is_hex(flags);
  if (!dashes || !hex || version == "ff" || is_zero(id) || is_zero(parent)) return {};
  if (header.size() > kLength && (version == "00" || header[kLength] != '-')) return {};
  return {std::string(id), std::string(parent), (digit(flags[1]) & 1) != 0};
}

}  // namespace uhd
