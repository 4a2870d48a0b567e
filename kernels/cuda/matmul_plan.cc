#include "kernels/cuda/matmul_plan.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/error.h"

namespace uhd::cuda {
namespace {

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    default:
      check(dtype == DType::i32, "no product gives ", name_of(dtype));
      return CUDA_R_32I;
  }
}

cudaDataType_t type_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return CUDA_R_32F;
    case WeightFormat::bf16:
      return CUDA_R_16BF;
    case WeightFormat::fp8:
      return CUDA_R_8F_E4M3;
    default:
      check(format == WeightFormat::int8, "no product is made of ", name_of(format));
      return CUDA_R_8I;
  }
}

cublasLtEpilogue_t epilogue_of(const PlanKey& key) {
  if (key.gelu_tanh) return key.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return key.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

// rows x columns in column-major order, `stride` elements from column to column.
template <class Type>
cublasLtMatrixLayout_t layout(Type type, int64_t rows, int64_t columns, int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&made, type_of(type), static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), stride),
               "cublasLtMatrixLayoutCreate");
  return made;
}

// The heuristic may choose from these.
class Preference {
 public:
  Preference() {
    check_cublas(cublasLtMatmulPreferenceCreate(&preference_), "cublasLtMatmulPreferenceCreate");
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;

  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check_cublas(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof(value)),
                 "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  cublasLtMatmulPreference_t preference_ = nullptr;
};

template <class T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, T value) {
  check_cublas(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)),
               "cublasLtMatmulDescSetAttribute");
}

}  // namespace

void check_cublas(cublasStatus_t status, std::string_view call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(message(call, ": ", cublasLtGetStatusString(status)));
}

uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return address == 0 ? kMostAlignment
                      : static_cast<uint32_t>(std::min(address & -address, uintptr_t{kMostAlignment}));
}

size_t PlanKeyHash::operator()(const PlanKey& key) const {
  const auto small = [](uint32_t alignment) { return static_cast<uint64_t>(std::countr_zero(alignment)); };
  const uint64_t kinds =
      static_cast<uint64_t>(key.out) | static_cast<uint64_t>(key.in) << 4 | uint64_t{key.accumulate} << 8 |
      uint64_t{key.bias} << 9 | uint64_t{key.gelu_tanh} << 10 | small(key.out_alignment) << 16 |
      small(key.x_alignment) << 20 | small(key.w_alignment) << 24 | small(key.bias_alignment) << 28;
  size_t hash = 0;
  for (const uint64_t part :
       {static_cast<uint64_t>(key.rows), static_cast<uint64_t>(key.n), static_cast<uint64_t>(key.k),
        static_cast<uint64_t>(key.out_stride), static_cast<uint64_t>(key.x_stride),
        static_cast<uint64_t>(key.w_stride), kinds}) {
    hash = (hash ^ std::hash<uint64_t>()(part)) * 0x9e3779b97f4a7c15u;
  }
  return hash;
}

MatmulPlan::MatmulPlan(cublasLtHandle_t handle, const PlanKey& key, const void* bias, size_t workspace_bytes)
    : key_(key) {
  try {
    describe(bias);
    choose(handle, workspace_bytes);
  } catch (...) {
    destroy();
    throw;
  }
}

MatmulPlan::~MatmulPlan() { destroy(); }

void MatmulPlan::describe(const void* bias) {
  const bool whole = key_.in == WeightFormat::int8;  // numbers: exact sums
  check_cublas(cublasLtMatmulDescCreate(&operation_, whole ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                                        whole ? CUDA_R_32I : CUDA_R_32F),
               "cublasLtMatmulDescCreate");
  set(operation_, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(operation_, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(key_));
  if (key_.bias) {
    set(operation_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(key_.out));
    set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  w_ = layout(key_.in, key_.k, key_.n, key_.w_stride);
  x_ = layout(key_.in, key_.k, key_.rows, key_.x_stride);
  out_ = layout(key_.out, key_.n, key_.rows, key_.out_stride);
}

void MatmulPlan::choose(cublasLtHandle_t handle, size_t workspace_bytes) {
  Preference preference;
  preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_bytes});
  // Parts of a sum are added in f32, never in out's type.
  preference.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key_.w_alignment);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key_.x_alignment);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key_.out_alignment);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key_.out_alignment);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation_, w_, x_, out_, out_,
                                                               preference.get(), 1, &best, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found != 1 || best.state != CUBLAS_STATUS_SUCCESS) {
    refusal_ =
        message("cuBLASLt has no algorithm for [", key_.rows, ",", key_.n, "] = [", key_.rows, ",", key_.k,
                "]·[", key_.n, ",", key_.k, "]ᵀ of ", name_of(key_.in), " to ", name_of(key_.out), ": ",
                cublasLtGetStatusString(status == CUBLAS_STATUS_SUCCESS ? best.state : status));
    return;
  }
  algorithm_ = best.algo;
  workspace_bytes_ = best.workspaceSize;
}

uint64_t MatmulPlan::code() const {
  size_t hash = std::hash<int>()(static_cast<int>(key_.out) | static_cast<int>(key_.in) << 4 |
                                 static_cast<int>(epilogue_of(key_)) << 8);
  const auto add = [&](cublasLtMatmulAlgoConfigAttributes_t attribute,
                       auto value) {  // of the attribute's type
    size_t written = 0;
    cublasLtMatmulAlgoConfigGetAttribute(&algorithm_, attribute, &value, sizeof(value), &written);
    hash = (hash ^ static_cast<uint64_t>(value)) * 0x9e3779b97f4a7c15u;
  };
  add(CUBLASLT_ALGO_CONFIG_ID, int32_t{0});
  add(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, int32_t{0});
  for (const auto attribute : {CUBLASLT_ALGO_CONFIG_TILE_ID, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                               CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION,
                               CUBLASLT_ALGO_CONFIG_STAGES_ID})
    add(attribute, uint32_t{0});
  add(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, uint16_t{0});
  add(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, uint16_t{0});
  return hash;
}

void MatmulPlan::destroy() noexcept {
  if (out_ != nullptr) cublasLtMatrixLayoutDestroy(out_);
  if (x_ != nullptr) cublasLtMatrixLayoutDestroy(x_);
  if (w_ != nullptr) cublasLtMatrixLayoutDestroy(w_);
  if (operation_ != nullptr) cublasLtMatmulDescDestroy(operation_);
}

void MatmulPlan::run(cublasLtHandle_t handle, void* out, const void* x, const void* w, const void* bias,
                     void* workspace, cudaStream_t stream) const {
  if (key_.bias) set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const auto multiply = [&](auto alpha, auto beta) {  // of the scale type
    check_cublas(cublasLtMatmul(handle, operation_, &alpha, w, w_, x, x_, &beta, out, out_, out, out_,
                                &algorithm_, workspace, workspace_bytes_, stream),
                 "cublasLtMatmul");
  };
  if (key_.in == WeightFormat::int8) return multiply(int32_t{1}, int32_t{0});
  multiply(1.0f, key_.accumulate ? 1.0f : 0.0f);
}

}  // namespace uhd::cuda
