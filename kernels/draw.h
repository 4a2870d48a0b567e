// Draws one token from a row of logits, in integers: sums of weights do not depend on their order, so that
// every backend draws the same token with any number of threads and ranks.
//
// A logit lies at a distance from the largest of its row: how often its probability is halved, in units of
// 2^-24. Its weight is 2^44 at distance 0 and halves every 2^24 units; if it would fall below 1 the token is
// never drawn. Tokens are ranked by distance, those of equal distance by id.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

// Device code includes this behind kernels/cuda/device.cuh, which says how a function is marked for it.
#ifndef UHD_DEVICE_FUNCTION
#define UHD_DEVICE_FUNCTION
#endif

namespace uhd {

// A Draw says how the token of one row is drawn; it also lies in device memory. A default Draw takes the
// largest logit, and the lowest id of equals.
struct alignas(16) Draw {
  static constexpr uint64_t kAll = ~uint64_t{0};

  float scale = 0;        // the distance for a difference of 1 between logits; 0: the largest logit
  int32_t top_k = 0;      // the number of ids that stay, the most likely ones; 0: all
  uint64_t top_p = kAll;  // the share of their sum that the first weights of those reach, in 2^-64
  uint64_t least = 1;     // the least weight of those that stay
  uint64_t random = 0;    // the place among the weights of the rest, by id: a share of their sum, in 2^-64
};
constexpr int64_t kDrawWords = sizeof(Draw) / sizeof(int32_t);

// Makes a Draw for temperature > 0; min_p is a share of the most likely token's probability. Values outside
// their ranges are taken as the nearest inside.
Draw make_draw(float temperature, int top_k, float top_p, float min_p, uint64_t random);

// Returns the id drawn from logits of the ids 0, 1, 2, ...; -1 if the largest of them is not finite. NaN is
// never drawn. `scratch` keeps memory from call to call.
int32_t draw_row(std::span<const float> logits, const Draw& how, std::vector<uint64_t>& scratch);

constexpr uint32_t kNeverDrawn = uint32_t{44} << 24;  // the distance from which on weights are 0

UHD_DEVICE_FUNCTION inline uint32_t draw_distance(float logit, float largest, float scale) {
  const float distance = (largest - logit) * scale;
  return distance < static_cast<float>(kNeverDrawn) ? static_cast<uint32_t>(distance) : kNeverDrawn;
}

// Computes 2^-x for x of 24 bits by a polynomial that errs by less than 1e-8, then the whole halvings.
UHD_DEVICE_FUNCTION inline uint64_t draw_weight(uint32_t distance) {
  if (distance >= kNeverDrawn) return 0;
  constexpr uint32_t kTerms[] = {2147483648u, 1488522189u, 515880104u, 119172786u, 20581131u, 2743243u};
  const uint64_t x = uint32_t{distance << 8};
  uint32_t power = 235160;
  for (int i = 5; i >= 0; --i) power = kTerms[i] - static_cast<uint32_t>(x * power >> 32);
  return (uint64_t{power} << 13) >> (distance >> 24);
}

// Returns whole · fraction / 2^64.
UHD_DEVICE_FUNCTION inline uint64_t share_of(uint64_t whole, uint64_t fraction) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(whole) * fraction >> 64);
}

// Returns the weight that the smallest set for top_p must reach.
UHD_DEVICE_FUNCTION inline uint64_t wanted_weight(uint64_t total, uint64_t top_p) {
  const uint64_t share = share_of(total, top_p);
  return share > 1 ? share : 1;  // the most likely token always stays
}

}  // namespace uhd
