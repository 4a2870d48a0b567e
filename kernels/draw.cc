#include "kernels/draw.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace uhd {
namespace {

// A key holds the distance above and the id below.
constexpr uint64_t key_of(uint32_t distance, int32_t id) {
  return uint64_t{distance} << 32 | static_cast<uint32_t>(id);
}
uint64_t weight_of(uint64_t key) { return draw_weight(static_cast<uint32_t>(key >> 32)); }

// Leaves the first keys whose weights reach the share top_p of all; sorts no further than it must.
void keep_top_p(std::vector<uint64_t>& keys, uint64_t top_p) {
  constexpr size_t kSortedAtFirst = 256;
  uint64_t total = 0;
  for (const uint64_t key : keys) total += weight_of(key);
  const uint64_t wanted = wanted_weight(total, top_p);
  uint64_t kept = 0;
  size_t sorted = 0;
  for (size_t count = 0; count < keys.size(); ++count) {
    if (kept >= wanted) return keys.resize(count);
    if (count == sorted) {
      sorted = std::min(keys.size(), std::max(kSortedAtFirst, sorted * 4));
      std::partial_sort(keys.begin() + static_cast<std::ptrdiff_t>(count),
                        keys.begin() + static_cast<std::ptrdiff_t>(sorted), keys.end());
    }
    kept += weight_of(keys[count]);
  }
}

}  // namespace

Draw make_draw(float temperature, int top_k, float top_p, float min_p, uint64_t random) {
  constexpr float kUnitsOfE = 24204406.0f;  // 2^24 / ln 2
  Draw draw;
  draw.scale = std::min(kUnitsOfE / temperature, std::numeric_limits<float>::max());
  draw.top_k = std::max(top_k, 0);
  if (top_p < 1.0f) draw.top_p = static_cast<uint64_t>(std::ldexp(std::max(top_p, 0.0f), 64));
  draw.least = std::max<uint64_t>(1, static_cast<uint64_t>(std::ldexp(std::clamp(min_p, 0.0f, 1.0f), 44)));
  draw.random = random;
  return draw;
}

int32_t draw_row(std::span<const float> logits, const Draw& how, std::vector<uint64_t>& scratch) {
  float largest = -std::numeric_limits<float>::infinity();
  int32_t best = -1;
  const auto count = static_cast<int32_t>(logits.size());
  for (int32_t id = 0; id < count; ++id) {
    if (!(logits[static_cast<size_t>(id)] > largest)) continue;
    largest = logits[static_cast<size_t>(id)];
    best = id;
  }
  if (!std::isfinite(largest)) return -1;
  if (how.scale == 0) return best;
  std::vector<uint64_t>& keys = scratch;
  keys.clear();
  for (int32_t id = 0; id < count; ++id) {
    const uint32_t distance = draw_distance(logits[static_cast<size_t>(id)], largest, how.scale);
    if (distance < kNeverDrawn) keys.push_back(key_of(distance, id));
  }
  const bool cut_by_k = how.top_k > 0 && static_cast<size_t>(how.top_k) < keys.size();
  if (cut_by_k) {
    std::nth_element(keys.begin(), keys.begin() + how.top_k, keys.end());
    keys.resize(static_cast<size_t>(how.top_k));
  }
  if (how.top_p != Draw::kAll) keep_top_p(keys, how.top_p);
  if (how.least > 1) std::erase_if(keys, [&](uint64_t key) { return weight_of(key) < how.least; });
  if (cut_by_k || how.top_p != Draw::kAll) {
    std::sort(keys.begin(), keys.end(),
              [](uint64_t a, uint64_t b) { return static_cast<uint32_t>(a) < static_cast<uint32_t>(b); });
  }
  uint64_t total = 0;
  for (const uint64_t key : keys) total += weight_of(key);
  uint64_t left = share_of(total, how.random);
  for (const uint64_t key : keys) {
    const uint64_t weight = weight_of(key);
    if (left < weight) return static_cast<int32_t>(static_cast<uint32_t>(key));
    left -= weight;
  }
  return best;
}

}  // namespace uhd
