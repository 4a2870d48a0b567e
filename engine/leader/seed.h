// Seeds made of seeds.
#pragma once

#include <cstdint>

namespace uhd {

// The number-th seed that follows from this one: every bit of both reaches every bit of it.
inline uint64_t mixed_seed(uint64_t seed, uint64_t number) {
  uint64_t x = seed + 0x9e3779b97f4a7c15ull * number;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace uhd
