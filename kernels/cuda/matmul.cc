#include "kernels/cuda/matmul.h"

namespace uhd::cuda {

struct Matmul::State {};

Matmul::Matmul(cudaStream_t) {}
Matmul::~Matmul() = default;

void Matmul::run(Tensor, Tensor, const Weight&, const MatmulOptions&) {
  throw Error("matrix products on CUDA are not implemented");
}

}  // namespace uhd::cuda
