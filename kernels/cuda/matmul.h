// Matrix products through cuBLASLt.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "kernels/backend.h"

namespace uhd::cuda {

// A packed weight is row-major [N, stride] in its format: rows start at multiples of 16 bytes, what lies
// between K and the stride is zero.
constexpr int64_t weight_stride(int64_t k, WeightFormat format) {
  const int64_t unit = format == WeightFormat::bf16 ? 8 : 4;
  return (k + unit - 1) / unit * unit;
}

// Belongs to one backend, used by its thread. Plans (descriptors, algorithm) are kept per shape.
class Matmul {
 public:
  explicit Matmul(cudaStream_t stream);
  ~Matmul();

  // kernels/backend.h, matmul. x is bf16 or f32 with either weight format: products are formed as the format
  // says, so f32 activations are rounded to bf16 first for a bf16 weight. out is f32 or of x's type.
  void run(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uhd::cuda
