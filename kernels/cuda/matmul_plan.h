// A MatmulPlan is one product as cuBLASLt knows it: descriptors, layouts and the chosen algorithm.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/weight.h"

namespace uhd::cuda {

void check_cublas(cublasStatus_t status, std::string_view call);

// A plan depends on its key. Alignments are those of the pointers, in bytes, at most kMostAlignment: an
// algorithm chosen for aligned memory must not meet any other. No access is wider than 16 bytes; a workspace
// gives 64, and equal products of a step share a plan wherever in it they lie.
constexpr uint32_t kMostAlignment = 64;
uint32_t alignment_of(const void* pointer);

struct PlanKey {
  int64_t rows = 0;  // T
  int64_t n = 0;
  int64_t k = 0;
  int64_t out_stride = 0;  // elements from a row to the next
  int64_t x_stride = 0;
  int64_t w_stride = 0;
  DType out = DType::f32;
  // The format of x and w alike: f32 or bf16 with out f32 or bf16, fp8 with f32, int8 with i32. Codes are
  // multiplied as they are, without scales, and the sums are only stored: there is no bias, no epilogue, and
  // nothing is added.
  WeightFormat in = WeightFormat::f32;
  bool accumulate = false;
  bool bias = false;
  bool gelu_tanh = false;
  uint32_t out_alignment = kMostAlignment;
  uint32_t x_alignment = kMostAlignment;
  uint32_t w_alignment = kMostAlignment;
  uint32_t bias_alignment = kMostAlignment;
  bool operator==(const PlanKey&) const = default;
};
struct PlanKeyHash {
  size_t operator()(const PlanKey& key) const;
};

// A plan asks the heuristic once.
class MatmulPlan {
 public:
  // Only the alignment of `bias` matters.
  MatmulPlan(cublasLtHandle_t handle, const PlanKey& key, const void* bias, size_t workspace_bytes);
  ~MatmulPlan();
  MatmulPlan(const MatmulPlan&) = delete;
  MatmulPlan& operator=(const MatmulPlan&) = delete;

  // Returns true if there is an algorithm; if not, refusal() says why, with the shapes.
  bool usable() const { return refusal_.empty(); }
  const std::string& refusal() const { return refusal_; }
  // Names the code that run() needs on the device, as far as the algorithm tells: plans that share it return
  // equal values.
  uint64_t code() const;

  // Runs the product, in order on the stream. Memory is as the key described it.
  void run(cublasLtHandle_t handle, void* out, const void* x, const void* w, const void* bias,
           void* workspace, cudaStream_t stream) const;

 private:
  void describe(const void* bias);
  void choose(cublasLtHandle_t handle, size_t workspace_bytes);
  void destroy() noexcept;

  const PlanKey key_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr;
  cublasLtMatrixLayout_t x_ = nullptr;
  cublasLtMatrixLayout_t out_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
  size_t workspace_bytes_ = 0;
  std::string refusal_;
};

}  // namespace uhd::cuda
