// Runs matrix products through cuBLASLt: it keeps a cache of plans, and defines the layout of packed weights.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <list>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/matmul_plan.h"
#include "kernels/cuda/product_scratch.h"

namespace uhd::cuda {

// Returns the elements of a row. A packed weight is row-major [N, stride] in its format: rows start at
// multiples of 16 bytes, and are zero between K and the stride. quantized.h describes quantized ones.
constexpr int64_t weight_stride(int64_t k, WeightFormat format) {
  const int64_t unit = format == WeightFormat::bf16 ? 8 : 4;
  return (k + unit - 1) / unit * unit;
}

// Computes out [T,N] = x [T,K] · wᵀ + bias, then the epilogue. Column by column, as cuBLASLt sees it, out is
// [N,T] = (w [K,N])ᵀ · x [K,T]: the form with both operands contiguous along K, and bias along the columns of
// D.
//
// Products and sums follow WeightFormat. With bf16 weights, x is bf16, or f32 that is rounded first; sums are
// in f32; a bias is rounded to bf16 if out is bf16 (cuBLASLt adds a bias of out's type). With f32 weights
// everything is full f32, never TF32. out is f32 or bf16.
//
// The product fuses bias, gelu_tanh (cuBLASLt's GELU is the tanh form) and add (beta = 1). The other
// epilogues are a pass of their own over out (epilogue.cu).
//
// With quantized weights, up to kFewRows rows are multiplied with the codes (quantized.h). For more rows, a
// part of the outputs at a time, small enough to stay in the second-level cache of the larger devices, has
// its weights expanded to bf16 in scratch memory and goes through cuBLASLt. With `quantize_activations` the
// weights of fp8 and int8 stay as they are, x becomes codes too (quantized_activations.h), cuBLASLt
// multiplies codes with codes, and the sums are scaled on their way to out. Rows of int8 may have up to
// 131072 inputs, so that sums fit 32 bits.
//
// A plan holds descriptors and the algorithm that the heuristic names; one is made at the first use of its
// shapes, which must not be under stream capture. Those that prepare() made stay; of too many others, the one
// whose last use is longest ago goes.
// Scratch memory that was not lent grows at first use too and is kept until the end, because a captured graph
// may still name it. Not thread-safe; belongs to its stream's thread.
class Matmul {
 public:
  explicit Matmul(cudaStream_t stream, bool quantize_activations = false, int64_t part_bytes = kPartBytes);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  void run(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options);
  // Makes what the first run of such a product makes: its plans, scratch memory, and, by running one product
  // of each kind, its code on the device; conversions and epilogues of their own are left out. out holds
  // anything afterwards.
  void prepare(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options);

  // Lends scratch memory for each use, which must outlive this object. Call it before anything is captured.
  void lend(const ProductScratch& bytes, const std::array<void*, kScratchUses>& memory);

  size_t plans() const { return plans_.size(); }

 private:
  struct DestroyHandle {
    void operator()(cublasLtHandle_t handle) const noexcept { cublasLtDestroy(handle); }
  };
  // A Scratch is device memory that grows by replacement; the old memory stays for graphs that were captured
  // with it.
  struct Scratch {
    void* memory = nullptr;  // the last of the blocks, or lent memory
    std::vector<DeviceMemory> blocks;
    size_t bytes = 0;
  };
  const MatmulPlan& plan_for(const PlanKey& key, const void* bias);
  // w is [N,K] of f32 or bf16, its rows spaced.
  void product(Tensor out, Tensor x, Tensor w, const MatmulOptions& options);
  void quantized_product(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options);
  // x becomes codes; it has more than a few rows.
  void product_of_codes(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options);
  // `in` is the format of x and w. Returns false, and does nothing, if cuBLASLt does not fuse gelu_tanh here.
  bool multiply(WeightFormat in, Tensor out, Tensor x, Tensor w, Tensor bias, bool accumulate,
                bool gelu_tanh);
  Tensor converted(Tensor x, DType dtype, Scratch& scratch);
  // x as few_rows_matmul reads it.
  Tensor in_packets(Tensor x, WeightFormat format);
  void* take(Scratch& scratch, size_t bytes);

  cudaStream_t stream_;
  const bool quantize_activations_;
  const int64_t part_bytes_;
  std::unique_ptr<cublasLtContext, DestroyHandle> handle_;
  Scratch workspace_;    // memory of the algorithms; one, because a stream runs one product at a time
  Scratch activations_;  // x in the weight's type
  Scratch biases_;       // a bias in out's type
  Scratch sums_;         // the result of f32 weights on its way to bf16, and sums of codes
  Scratch expanded_;     // quantized weights in bf16
  Scratch codes_;        // quantized activations, then their scales
  struct Kept {
    std::unique_ptr<MatmulPlan> plan;
    std::list<PlanKey>::iterator use;
  };
  std::unordered_map<PlanKey, Kept, PlanKeyHash> plans_;
  std::list<PlanKey> uses_;  // keys of plans that were not prepared, the last used first
  bool preparing_ = false;
  std::unordered_set<uint64_t> prepared_;  // MatmulPlan::code of each plan that has run since
};

}  // namespace uhd::cuda
