// Runs a pass over a product's result, for the epilogues that cuBLASLt does not fuse.
#pragma once

#include <cuda_runtime.h>

#include "kernels/epilogue.h"
#include "kernels/tensor.h"

namespace uhd::cuda {

// Computes out [T,N] = f(x [T,N]): f32 or bf16 each, computed in f32, rounded once; rows may be spaced; out
// may be x. Epilogue::add gives out += x.
void apply_epilogue(cudaStream_t stream, Tensor out, Tensor x, Epilogue epilogue);

}  // namespace uhd::cuda
