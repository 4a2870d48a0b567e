// Which form attention takes, and the memory its splits need.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "kernels/cuda/device_memory.h"
#include "kernels/operations.h"

namespace uhd::cuda {

// automatic: tensor cores where they fit. flashinfer: there, FlashInfer's kernels where they fit.
enum class AttentionForm { automatic, plain, flashinfer };
// By its name in backend.attention; an unknown one, or one that this build lacks, is an Error.
AttentionForm attention_form(const std::string& name);

// Belongs to one backend, used by its thread. Tensor cores are used where operands are bf16 and lie at
// multiples of 16 bytes, a head has at most 128 columns in units of 8, and a segment has more than a few rows
// to share a product; otherwise, and with `plain`, one warp takes each row. FlashInfer is for paged attention
// with heads of 64 or 128 and dense results, but not for decode steps whose keys are worth splitting.
//
// Values: a row depends on its own segment alone. The plain form gives a row the same bits in any batch; on
// tensor cores the last bits depend on how the keys were split, which is a function of the step's shape.
class Attention {
 public:
  Attention(cudaStream_t stream, AttentionForm form);
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  void queue(const ops::PackedAttention& op);
  void queue(const ops::PagedAttention& op);

  size_t scratch_bytes() const { return scratch_bytes_; }  // of device memory, held from the start

 private:
  const cudaStream_t stream_;
  const AttentionForm form_;
  int at_once_ = 0;  // blocks of the split kernel that the device runs together
  size_t scratch_bytes_ = 0;
  DeviceMemory memory_;
  float* scratch_ = nullptr;   // of splits
  std::byte* plan_ = nullptr;  // behind them, kPlanBytes for FlashInfer
};

}  // namespace uhd::cuda
