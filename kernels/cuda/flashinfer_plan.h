// Tells FlashInfer's paged attention which block attends what, besides the tensors of a step. The plan is
// made on the device from the step's own arrays, so that a recorded step plans anew each time it runs.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/backend.h"

namespace uhd::cuda {

// FlashInferRows says which sequences a plan is for, by their query rows per key head (tokens x query heads
// of the group).
struct FlashInferRows {
  int tile;   // the rows of a block
  int above;  // only sequences with more rows than this
  int most;   // only sequences with at most so many rows
};

// The arrays are in device memory, named as FlashInfer's parameters are. A slot is a block of the grid, for
// each key head (attention_plan.h, first_slot).
struct FlashInferPlan {
  int slots;
  int32_t* kv_indptr;  // [S+1] the place in the page table where the row of a sequence begins, and where the
                       // last ends
  int32_t* kv_chunk_size;    // [1] as long as a sequence can be: keys are not split
  int32_t* request_indices;  // [slots] the sequence
  int32_t* qo_tile_indices;  // [slots] the tile among its rows
  int32_t* kv_tile_indices;  // [slots] 0
  bool* block_valid_mask;    // [slots] true if there is anything to do
};

// Lays the arrays into `memory`, of plan_bytes (attention_plan.h), and queues the kernel that fills them. The
// kernel also makes the checks that FlashInfer leaves out: a span outside q ends it, and so does an entry of
// the page table that is no page of the cache, even behind a sequence's last page, because FlashInfer forms
// its address.
FlashInferPlan flashinfer_plan(cudaStream_t stream, void* memory, const FlashInferRows& take, Tensor q,
                               const KvLayer& pages, const PagedSpans& spans);

}  // namespace uhd::cuda
