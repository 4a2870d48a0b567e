#include "kernels/cuda/arena.h"

#include <algorithm>
#include <iterator>

namespace uhd::cuda {
namespace {

constexpr size_t down(size_t bytes) { return bytes / Arena::kUnit * Arena::kUnit; }
// A part of no bytes also takes a unit, so that two parts never have one address.
constexpr size_t up(size_t bytes) { return bytes == 0 ? Arena::kUnit : down(bytes + Arena::kUnit - 1); }

}  // namespace

Arena::Arena(void* memory, size_t bytes)
    : memory_(static_cast<std::byte*>(memory)), bytes_(down(bytes)), left_(bytes_) {
  if (bytes_ > 0) gaps_.emplace(0, bytes_);
}

void* Arena::take(size_t bytes) {
  if (bytes > bytes_) return nullptr;
  const size_t length = up(bytes);
  const auto gap =
      std::find_if(gaps_.begin(), gaps_.end(), [&](const auto& g) { return g.second >= length; });
  if (gap == gaps_.end()) return nullptr;
  const auto [at, long_] = *gap;
  gaps_.erase(gap);
  if (long_ > length) gaps_.emplace(at + length, long_ - length);
  left_ -= length;
  peak_ = std::max(peak_, at + length);
  return memory_ + at;
}

bool Arena::give_back(void* part, size_t bytes) {
  auto* const address = static_cast<std::byte*>(part);
  if (std::less<>()(address, memory_) || !std::less<>()(address, memory_ + bytes_)) return false;
  auto at = static_cast<size_t>(address - memory_);
  size_t length = up(bytes);
  left_ += length;
  auto next = gaps_.lower_bound(at);
  if (next != gaps_.end() && at + length == next->first) {
    length += next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == at) {
      before->second += length;
      return true;
    }
  }
  gaps_.emplace_hint(next, at, length);
  return true;
}

}  // namespace uhd::cuda
