// Runs attention over small ragged segments and sequences in device memory, and compares it with the
// reference.
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
// `partials` has room for any number of splits of these cases.
using PagedForm = std::function<void(cudaStream_t, Tensor out, Tensor q, KvLayer pages,
                                     const PagedSpans& spans, float scale, float* partials)>;

// A case returns the largest |out − want| / (1 + |want|), which is infinite if the kernel failed or wrote
// NaN.
struct PackedCase {
  std::vector<int32_t> queries;  // the rows of each segment
  std::vector<int32_t> keys;
  int64_t heads;
  int64_t d;
  DType dtype = DType::bf16;
};
double packed_error(const PackedCase& c, const PackedForm& form);

struct PagedCase {
  std::vector<int32_t> lengths;  // the tokens of each sequence
  std::vector<int32_t> queries;  // the last of them, which ask
  int64_t page;
  int64_t heads;
  int64_t kv_heads;
  int64_t d;
  DType dtype = DType::bf16;  // the type of activations
  DType pages = DType::bf16;
  int64_t out_gap = 16;  // the elements between rows of the result
};
double paged_error(const PagedCase& c, const PagedForm& form);
// A planned case does the same by kernels that are told what to do in a plan. It lies where other forms keep
// the results of splits, and the rows of the result lie without gaps.
using PlannedForm = void (*)(cudaStream_t, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                             float scale, bool causal, void* plan);
double planned_error(PagedCase c, PlannedForm form);

}  // namespace uhd::cuda
