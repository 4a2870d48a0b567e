// Turns a failed call of the CUDA runtime into an Error that says what was being done.
#pragma once

#include <cuda_runtime.h>

#include "base/error.h"

namespace uhd::cuda {

inline void check_cuda(cudaError_t status, const char* doing) {
  if (status != cudaSuccess) [[unlikely]]
    throw Error(
        message("CUDA: ", doing, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")"));
}

}  // namespace uhd::cuda
