#include "engine/slices/slice_encoders.h"

#include "model/vision/slice_plan.h"

namespace uhd {

std::vector<size_t> choose_batch(std::span<const Slice* const> waiting, int64_t batch_patches, int patch,
                                 size_t most) {
  std::vector<size_t> chosen;
  int64_t patches = 0;
  for (size_t i = 0; i < waiting.size() && chosen.size() < most; ++i) {
    const Slice& slice = *waiting[i];
    if (slice.width != waiting[0]->width || slice.height != waiting[0]->height) continue;
    patches += patches_of({slice.width, slice.height}, patch);
    if (!chosen.empty() && patches > batch_patches) break;
    chosen.push_back(i);
  }
  return chosen;
}

}  // namespace uhd
