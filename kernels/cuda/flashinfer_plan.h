// What FlashInfer's paged attention is told of a step besides the tensors: which block attends what. Made on
// the device from the step's own arrays, so that a recorded step plans anew each time it runs.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/backend.h"

namespace uhd::cuda {

// Which sequences a plan is for, by their query rows per key head (tokens x query heads of the group).
struct FlashInferRows {
  int tile;   // rows of a block
  int above;  // sequences with more rows than this
  int most;   // and at most these
};

// Arrays in device memory, named as FlashInfer's parameters are. A slot is a block of the grid, for each key
// head (attention_plan.h, first_slot).
struct FlashInferPlan {
  int slots;
  int32_t* kv_indptr;      // [S+1] where in the page table the row of a sequence begins; where the last ends
  int32_t* kv_chunk_size;  // [1] as long as a sequence can be: keys are not split
  int32_t* request_indices;  // [slots] sequence
  int32_t* qo_tile_indices;  // [slots] which tile of its rows
  int32_t* kv_tile_indices;  // [slots] 0
  bool* block_valid_mask;    // [slots] whether there is anything to do
};

// Lays the arrays into `memory`, of plan_bytes (attention_plan.h), and queues the kernel that fills them. It
// also looks at what FlashInfer does not: a span outside q ends the kernel, and so does an entry of the page
// table that is no page of the cache, even behind a sequence's last page, since FlashInfer forms its address.
FlashInferPlan flashinfer_plan(cudaStream_t stream, void* memory, const FlashInferRows& take, Tensor q,
                               const KvLayer& pages, const PagedSpans& spans);

}  // namespace uhd::cuda
