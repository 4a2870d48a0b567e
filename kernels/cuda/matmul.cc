#include "kernels/cuda/matmul.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launchers.h"

namespace uhd::cuda {
namespace {

// What NVIDIA advises for Hopper; smaller devices lose little by having it too.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
// Prefill comes in every number of rows up to the token budget.
constexpr size_t kMostPlans = 4096;

// The element types of a format: the place where further formats come in.
DType element_of(WeightFormat format) { return format == WeightFormat::f32 ? DType::f32 : DType::bf16; }

}  // namespace

Matmul::Matmul(cudaStream_t stream) : stream_(stream) {
  check_cublas(cublasLtCreate(&handle_), "cublasLtCreate");
  take(workspace_, kWorkspaceBytes);
}

Matmul::~Matmul() {
  cudaStreamSynchronize(stream_);
  plans_.clear();
  for (Scratch* scratch : {&workspace_, &activations_, &biases_, &sums_}) {
    for (void* block : scratch->blocks) cudaFree(block);
  }
  cublasLtDestroy(handle_);
}

void Matmul::run(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  if (out.rows() == 0) return;
  const DType element = element_of(w.format);
  if (x.dtype() != element) x = converted(x, element, activations_);
  // cuBLASLt adds to and gives f32 of f32 operands only.
  const bool through_sums = element == DType::f32 && out.dtype() != DType::f32;
  Tensor result = out;
  if (through_sums) {
    result =
        Tensor(take(sums_, static_cast<size_t>(out.elements()) * sizeof(float)), DType::f32, out.shape());
  }
  Tensor bias = options.bias;
  if (!bias.empty() && result.dtype() != DType::f32) {
    bias = converted(bias.reshaped({1, w.n}), result.dtype(), biases_);
  }
  const bool direct = !through_sums;
  if (direct && options.epilogue == Epilogue::gelu_tanh && multiply(result, x, w, bias, false, true)) return;
  const bool add = direct && options.epilogue == Epilogue::add;
  multiply(result, x, w, bias, add, false);
  if (through_sums || (options.epilogue != Epilogue::none && !add)) {
    apply_epilogue(stream_, out, result, options.epilogue);
  }
}

bool Matmul::multiply(Tensor out, Tensor x, const Weight& w, Tensor bias, bool accumulate, bool gelu_tanh) {
  PlanKey key;
  key.rows = out.rows();
  key.n = w.n;
  key.k = w.k;
  // One row has no stride of its own: all of them share a plan.
  key.out_stride = out.rows() == 1 ? w.n : out.row_stride();
  key.x_stride = out.rows() == 1 ? w.k : x.row_stride();
  key.w_stride = weight_stride(w.k, w.format);
  key.out = out.dtype();
  key.in = x.dtype();
  key.accumulate = accumulate;
  key.bias = !bias.empty();
  key.gelu_tanh = gelu_tanh;
  key.out_alignment = alignment_of(out.raw());
  key.x_alignment = alignment_of(x.raw());
  key.w_alignment = alignment_of(w.data.data());
  key.bias_alignment = alignment_of(bias.raw());
  const MatmulPlan& plan = plan_for(key, bias.raw());
  if (!plan.usable()) {
    check(gelu_tanh, plan.refusal());
    return false;
  }
  plan.run(handle_, out.raw(), x.raw(), w.data.data(), bias.raw(), workspace_.blocks.back(), stream_);
  return true;
}

const MatmulPlan& Matmul::plan_for(const PlanKey& key, const void* bias) {
  const auto found = plans_.find(key);
  if (found != plans_.end()) return *found->second;
  if (plans_.size() >= kMostPlans) plans_.clear();  // launches under way hold what they need of a plan
  auto plan = std::make_unique<MatmulPlan>(handle_, key, bias, kWorkspaceBytes);
  return *plans_.emplace(key, std::move(plan)).first->second;
}

Tensor Matmul::converted(Tensor x, DType dtype, Scratch& scratch) {
  const size_t bytes = static_cast<size_t>(x.elements()) * size_of(dtype);
  const Tensor out(take(scratch, bytes), dtype, x.shape());
  cast(stream_, out, x);
  return out;
}

void* Matmul::take(Scratch& scratch, size_t bytes) {
  if (scratch.bytes < bytes || scratch.blocks.empty()) {
    void* block = nullptr;
    check_cuda(cudaMalloc(&block, bytes), "allocating scratch memory for products");
    scratch.blocks.push_back(block);
    scratch.bytes = bytes;
  }
  return scratch.blocks.back();
}

}  // namespace uhd::cuda
