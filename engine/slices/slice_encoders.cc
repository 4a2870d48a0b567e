#include "engine/slices/slice_encoders.h"

#include <algorithm>

#include "model/vision/slice_plan.h"

namespace uhd {

size_t slices_of_pass(const Slice& slice, int64_t batch_patches, int patch, size_t most) {
  const int64_t each = std::max<int64_t>(1, patches_of({slice.width, slice.height}, patch));
  return std::min(most, static_cast<size_t>(std::max<int64_t>(1, batch_patches / each)));
}

std::vector<size_t> choose_batch(std::span<const Slice* const> waiting, int64_t batch_patches, int patch,
                                 size_t most) {
  std::vector<size_t> chosen;
  if (waiting.empty()) return chosen;
  const Slice& first = *waiting.front();
  const size_t count = slices_of_pass(first, batch_patches, patch, most);
  for (size_t i = 0; i < waiting.size() && chosen.size() < count; ++i) {
    if (have_equal_shape(*waiting[i], first)) chosen.push_back(i);
  }
  return chosen;
}

}  // namespace uhd
