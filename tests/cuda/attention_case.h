// Attention over small ragged segments and sequences in device memory, compared with the reference.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace uhd::cuda {

using PackedForm = std::function<void(cudaStream_t, Tensor out, Tensor q, Tensor k, Tensor v,
                                      Tensor q_offsets, Tensor kv_offsets, int max_q, float scale)>;
// partials is room for any number of splits of these cases.
using PagedForm = std::function<void(cudaStream_t, Tensor out, Tensor q, KvLayer pages,
                                     const PagedSpans& spans, float scale, float* partials)>;

// What to compare: the largest |out − want| / (1 + |want|), infinite where the kernel failed or wrote NaN.
struct PackedCase {
  std::vector<int32_t> queries;  // rows of each segment
  std::vector<int32_t> keys;
  int64_t heads;
  int64_t d;
  DType dtype = DType::bf16;
};
double packed_error(const PackedCase& c, const PackedForm& form);

struct PagedCase {
  std::vector<int32_t> lengths;  // tokens of each sequence
  std::vector<int32_t> queries;  // the last of them that ask
  int64_t page;
  int64_t heads;
  int64_t kv_heads;
  int64_t d;
  DType dtype = DType::bf16;  // of activations
  DType pages = DType::bf16;
  int64_t out_gap = 16;  // elements between rows of the result
};
double paged_error(const PagedCase& c, const PagedForm& form);

}  // namespace uhd::cuda
