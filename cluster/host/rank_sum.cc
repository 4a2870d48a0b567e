#include "cluster/host/rank_sum.h"

#include <algorithm>

#include "base/error.h"

namespace uhd {
namespace {

constexpr size_t kBlock = 512;

template <class T>
void sum(T* out, std::span<const void* const> parts, size_t count) {
  float block[kBlock];
  for (size_t at = 0; at < count; at += kBlock) {
    const size_t n = std::min(kBlock, count - at);
    const T* first = static_cast<const T*>(parts[0]) + at;
    for (size_t i = 0; i < n; ++i) block[i] = static_cast<float>(first[i]);
    for (const void* part : parts.subspan(1)) {
      const T* x = static_cast<const T*>(part) + at;
      for (size_t i = 0; i < n; ++i) block[i] += static_cast<float>(x[i]);
    }
    for (size_t i = 0; i < n; ++i) out[at + i] = static_cast<T>(block[i]);
  }
}

}  // namespace

void sum_in_rank_order(DType dtype, void* out, std::span<const void* const> parts, size_t count) {
  check(dtype == DType::f32 || dtype == DType::bf16, "all_reduce takes f32 or bf16, not ", name_of(dtype));
  if (dtype == DType::f32) {
    sum(static_cast<float*>(out), parts, count);
  } else {
    sum(static_cast<bf16*>(out), parts, count);
  }
}

}  // namespace uhd
