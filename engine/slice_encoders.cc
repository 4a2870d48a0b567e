#include "engine/slice_encoders.h"

#include <cmath>

#include "model/vision/slice_plan.h"

namespace uhd {

std::vector<size_t> choose_batch(std::span<const Slice* const> waiting, int64_t batch_patches, int patch) {
  std::vector<size_t> chosen;
  int64_t patches = 0;
  for (size_t i = 0; i < waiting.size(); ++i) {
    const Slice& slice = *waiting[i];
    if (slice.width != waiting[0]->width || slice.height != waiting[0]->height) continue;
    patches += patches_of({slice.width, slice.height}, patch);
    if (!chosen.empty() && patches > batch_patches) break;
    chosen.push_back(i);
  }
  return chosen;
}

bool all_finite(Backend& backend, Tensor rows) {
  check(rows.dtype() == DType::f32 || rows.dtype() == DType::bf16, "rows are f32 or bf16");
  std::vector<std::byte> host(rows.bytes());
  backend.download(Tensor(host.data(), rows.dtype(), rows.shape()), rows);
  const auto finite = [&]<class T>(const T* values) {
    for (int64_t i = 0; i < rows.elements(); ++i) {
      if (!std::isfinite(static_cast<float>(values[i]))) return false;
    }
    return true;
  };
  return rows.dtype() == DType::f32 ? finite(reinterpret_cast<const float*>(host.data()))
                                    : finite(reinterpret_cast<const bf16*>(host.data()));
}

}  // namespace uhd
