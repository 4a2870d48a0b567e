// A host matrix in the storage format of cuda::Matmul, a few rows at a time.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/weight.h"

namespace uhd::cuda {

// take(first, bytes) receives rows [first, …) of `stride` elements each, zero past K.
template <class Take>
void pack_rows(Tensor host, WeightFormat format, int64_t stride, const Take& take) {
  constexpr int64_t kBatchElements = int64_t{1} << 20;
  const int64_t n = host.dim(0), k = host.dim(1);
  const int64_t batch = std::clamp<int64_t>(kBatchElements / stride, 1, n);
  const auto value = [&](int64_t row, int64_t i) {
    switch (host.dtype()) {
      case DType::bf16:
        return static_cast<float>(host.row<bf16>(row)[i]);
      case DType::f16:
        return static_cast<float>(host.row<f16>(row)[i]);
      default:
        return host.row<float>(row)[i];
    }
  };
  const auto pack_as = [&]<class T>(T zero) {
    std::vector<T> rows(static_cast<size_t>(batch * stride), zero);
    for (int64_t first = 0; first < n; first += batch) {
      const int64_t count = std::min(batch, n - first);
      for (int64_t r = 0; r < count; ++r) {
        T* to = rows.data() + r * stride;
        if (host.dtype() == dtype_of<T>()) {
          std::copy_n(host.row<T>(first + r), k, to);
        } else {
          for (int64_t i = 0; i < k; ++i) to[i] = T(value(first + r, i));
        }
      }
      take(first, std::as_bytes(std::span(rows)).first(static_cast<size_t>(count * stride) * sizeof(T)));
    }
  };
  if (format == WeightFormat::bf16) {
    pack_as(bf16(0.0f));
  } else {
    pack_as(0.0f);
  }
}

}  // namespace uhd::cuda
