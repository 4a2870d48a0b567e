// Uses the wrappers of tensor-core and asynchronous instructions (kernels/cuda/device.cuh) in one small
// product.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace uhd::cuda {

// Runs one warp. It multiplies a [16,16] and b [16,16] bf16, of which the first `rows` rows of b count and
// the others are taken for zero; by_rows [16,16] = a · bᵀ, by_columns [16,16] = a · b. All are in device
// memory.
void multiply_tiles(cudaStream_t stream, float* by_rows, float* by_columns, const void* a, const void* b,
                    int rows);

}  // namespace uhd::cuda
