// Chooses the form of attention, and holds the memory that its splits need.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "kernels/cuda/device_memory.h"
#include "kernels/operations.h"

namespace uhd::cuda {

// `automatic` uses tensor cores where they fit. `flashinfer` uses FlashInfer's kernels in those cases, where
// they fit.
enum class AttentionForm { automatic, plain, flashinfer };
// Returns the form by its name in backend.attention. An unknown one, or one that this build lacks, is an
// Error.
AttentionForm attention_form(const std::string& name);

// An Attention belongs to one backend, whose thread uses it. Tensor cores are used if operands are bf16 and
// lie at multiples of 16 bytes, a head has at most 128 columns in units of 8, and a segment has more than a
// few rows to share a product; otherwise, and with `plain`, one warp takes each row. FlashInfer is used for
// paged attention with heads of 64 or 128 and dense results, but not for decode steps whose keys are worth
// splitting.
//
// A row's values depend on its own segment alone. The plain form gives a row the same bits in any batch. On
// tensor cores the last bits depend on how the keys were split, which is a function of the step's shape.
class Attention {
 public:
  Attention(cudaStream_t stream, AttentionForm form);
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  void queue(const ops::PackedAttention& op);
  void queue(const ops::PagedAttention& op);

  size_t scratch_bytes() const { return scratch_bytes_; }  // device memory, held from the start

 private:
  const cudaStream_t stream_;
  const AttentionForm form_;
  int at_once_ = 0;  // the blocks of the split kernel that the device runs together
  size_t scratch_bytes_ = 0;
  DeviceMemory memory_;
  float* scratch_ = nullptr;   // memory for splits
  std::byte* plan_ = nullptr;  // kPlanBytes for FlashInfer, which lie behind the splits
};

}  // namespace uhd::cuda
