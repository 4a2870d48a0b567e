#include "net/public_address.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstdint>

namespace uhd {
namespace {

struct Block {
  uint32_t first;
  int bits;
};

// These hold the first 32 bits of an address, of either family.
bool is_in(const Block& block, uint32_t address) { return (address ^ block.first) >> (32 - block.bits) == 0; }

constexpr uint32_t v4(uint32_t a, uint32_t b, uint32_t c) { return a << 24 | b << 16 | c << 8; }

constexpr Block kSpecialV4[] = {
    {v4(0, 0, 0), 8},       {v4(10, 0, 0), 8},      {v4(100, 64, 0), 10},   {v4(127, 0, 0), 8},
    {v4(169, 254, 0), 16},  {v4(172, 16, 0), 12},   {v4(192, 0, 0), 24},    {v4(192, 0, 2), 24},
    {v4(192, 31, 196), 24}, {v4(192, 52, 193), 24}, {v4(192, 88, 99), 24},  {v4(192, 168, 0), 16},
    {v4(192, 175, 48), 24}, {v4(198, 18, 0), 15},   {v4(198, 51, 100), 24}, {v4(203, 0, 113), 24},
    {v4(224, 0, 0), 3},
};

// All that is global lies in 2000::/3. Within it: protocol assignments with Teredo and ORCHID (2001::/23),
// documentation, 6to4, AS112 and segment routing.
constexpr Block kGlobalV6{0x20000000, 3};
constexpr Block kSpecialV6[] = {
    {0x20010000, 23}, {0x20010db8, 32}, {0x20020000, 16},
    {0x2620004f, 32}, {0x3ffe0000, 15}, {0x5f000000, 16},
};

}  // namespace

bool is_public_address(const sockaddr& address) {
  const auto special = [](const auto& blocks, uint32_t first) {
    return std::ranges::any_of(blocks, [&](const Block& block) { return is_in(block, first); });
  };
  if (address.sa_family == AF_INET) {
    return !special(kSpecialV4, ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  const uint8_t* bytes = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr.s6_addr;
  const uint32_t first =
      uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
  return is_in(kGlobalV6, first) && !special(kSpecialV6, first);
}

}  // namespace uhd
