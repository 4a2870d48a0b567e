#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <bit>

#include "kernels/cuda/check.h"
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/quantized.h"
#include "kernels/cuda/quantized_activations.h"

namespace uhd::cuda {
namespace {

// NVIDIA advises this for Hopper; smaller devices lose little by having it too.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
// It serves products that were not prepared.
constexpr size_t kMostPlans = 4096;
// 127² times as many is below 2^31.
constexpr int64_t kMostInt8Inputs = 131072;

DType element_of(WeightFormat format) { return format == WeightFormat::f32 ? DType::f32 : DType::bf16; }

}  // namespace

Matmul::Matmul(cudaStream_t stream, bool quantize_activations, int64_t part_bytes)
    : stream_(stream), quantize_activations_(quantize_activations), part_bytes_(part_bytes) {
  cublasLtHandle_t handle = nullptr;
  check_cublas(cublasLtCreate(&handle), "cublasLtCreate");
  handle_.reset(handle);
  take(workspace_, kWorkspaceBytes);
}

Matmul::~Matmul() {
  cudaStreamSynchronize(stream_);
  plans_.clear();
}

void Matmul::run(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  if (out.rows() == 0) return;
  if (is_quantized(w.format)) return quantized_product(out, x, w, options);
  product(out, x, Tensor(w.data.data(), element_of(w.format), {w.n, w.k}, weight_stride(w.k, w.format)),
          options);
}

void Matmul::prepare(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  struct Mark {
    bool& set;
    ~Mark() { set = false; }
  } const mark{preparing_ = true};
  run(out, x, w, options);
}

void Matmul::quantized_product(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  if (out.rows() <= kFewRows) {
    const bool add = options.epilogue == Epilogue::add;
    few_rows_matmul(stream_, out, in_packets(x, w.format), w, options.bias, add);
    if (options.epilogue != Epilogue::none && !add) apply_epilogue(stream_, out, out, options.epilogue);
    return;
  }
  if (quantize_activations_ && w.format != WeightFormat::int4) return product_of_codes(out, x, w, options);
  if (x.dtype() != DType::bf16) x = converted(x, DType::bf16, activations_);
  const int64_t stride = packets_of(w.k, w.format) * codes_of_packet(w.format);
  const int64_t row_bytes = stride * static_cast<int64_t>(sizeof(bf16));
  const int64_t most = outputs_at_once(w.n, row_bytes, part_bytes_);
  void* expanded = take(expanded_, static_cast<size_t>(most * row_bytes));
  for (int64_t first = 0; first < w.n; first += most) {
    const int64_t count = std::min(most, w.n - first);
    const Tensor part(expanded, DType::bf16, {count, w.k}, stride);
    if (!preparing_) expand(stream_, part, w, first);
    const Tensor bias = options.bias.empty() ? Tensor() : options.bias.slice_rows(first, count);
    product(out.slice_columns(first, count), x, part, {.bias = bias, .epilogue = options.epilogue});
  }
}

void Matmul::product_of_codes(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  const bool whole = w.format == WeightFormat::int8;
  check(!whole || w.k <= kMostInt8Inputs, "a sum of ", w.k, " products of int8 may leave 32 bits");
  const int64_t rows = whole_units(x.rows()), columns = packets_of(w.k, w.format) * codes_of_packet(w.format);
  // Scratch memory in powers of two: what a growing number of rows leaves behind stays below what is in use.
  const auto code_bytes = static_cast<size_t>(rows * columns);
  auto* const codes_at = static_cast<std::byte*>(
      take(codes_, std::bit_ceil(code_bytes + static_cast<size_t>(rows) * sizeof(float))));
  const Tensor codes(codes_at, DType::u8, {rows, columns}), scales(codes_at + code_bytes, DType::f32, {rows});
  if (!preparing_) quantize_rows(stream_, codes, scales, x, w.format);

  const int64_t output_bytes = rows * static_cast<int64_t>(sizeof(float));
  const int64_t most = outputs_at_once(w.n, output_bytes, part_bytes_);
  void* const sums_at = take(sums_, std::bit_ceil(static_cast<size_t>(whole_units(most) * output_bytes)));
  const Tensor held(w.data.data(), DType::u8, {rows_held(w.n, w.format), columns});
  const Tensor weight_scales(w.scales.data(), DType::f32, {w.n});
  const bool add = options.epilogue == Epilogue::add;
  for (int64_t first = 0; first < w.n; first += most) {
    const int64_t count = std::min(most, w.n - first), multiplied = whole_units(count);
    const Tensor sums(sums_at, whole ? DType::i32 : DType::f32, {rows, multiplied});
    multiply(w.format, sums, codes, held.slice_rows(first, multiplied), {}, false, false);
    const Tensor bias = options.bias.empty() ? Tensor() : options.bias.slice_rows(first, count);
    if (preparing_) continue;
    scale_sums(stream_, out.slice_columns(first, count), sums, scales, weight_scales.slice_rows(first, count),
               bias, add);
  }
  if (!preparing_ && options.epilogue != Epilogue::none && !add)
    apply_epilogue(stream_, out, out, options.epilogue);
}

Tensor Matmul::in_packets(Tensor x, WeightFormat format) {
  const int64_t rows = x.rows(), k = x.dim(1);
  const int64_t columns = packets_of(k, format) * codes_of_packet(format);
  const bool aligned = alignment_of(x.raw()) >= kPacketBytes && (rows == 1 || x.row_stride() % 8 == 0);
  if (x.dtype() == DType::bf16 && columns == k && aligned) return x;
  const size_t bytes = static_cast<size_t>(rows * columns) * sizeof(bf16);
  const Tensor padded(take(activations_, bytes), DType::bf16, {rows, columns});
  if (columns != k) check_cuda(cudaMemsetAsync(padded.raw(), 0, bytes, stream_), "clearing scratch memory");
  queue(stream_, ops::Cast{padded.slice_columns(0, k), x});
  return padded;
}

void Matmul::product(Tensor out, Tensor x, Tensor w, const MatmulOptions& options) {
  const DType element = w.dtype();
  const WeightFormat in = element == DType::f32 ? WeightFormat::f32 : WeightFormat::bf16;
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
    bias = converted(bias.reshaped({1, w.rows()}), result.dtype(), biases_);
  }
  const bool direct = !through_sums;
  if (direct && options.epilogue == Epilogue::gelu_tanh && multiply(in, result, x, w, bias, false, true))
    return;
  const bool add = direct && options.epilogue == Epilogue::add;
  multiply(in, result, x, w, bias, add, false);
  if (!preparing_ && (through_sums || (options.epilogue != Epilogue::none && !add))) {
    apply_epilogue(stream_, out, result, options.epilogue);
  }
}

bool Matmul::multiply(WeightFormat in, Tensor out, Tensor x, Tensor w, Tensor bias, bool accumulate,
                      bool gelu_tanh) {
  PlanKey key;
  key.rows = out.rows();
  key.n = w.dim(0);
  key.k = w.dim(1);
  // One row has no stride of its own: all of them share a plan.
  key.out_stride = out.rows() == 1 ? key.n : out.row_stride();
  key.x_stride = out.rows() == 1 ? key.k : x.row_stride();
  key.w_stride = w.row_stride();
  key.out = out.dtype();
  key.in = in;
  key.accumulate = accumulate;
  key.bias = !bias.empty();
  key.gelu_tanh = gelu_tanh;
  key.out_alignment = alignment_of(out.raw());
  key.x_alignment = alignment_of(x.raw());
  key.w_alignment = alignment_of(w.raw());
  key.bias_alignment = alignment_of(bias.raw());
  const MatmulPlan& plan = plan_for(key, bias.raw());
  if (!plan.usable()) {
    check(gelu_tanh, plan.refusal());
    return false;
  }
  if (preparing_ && !prepared_.insert(plan.code()).second) return true;
  plan.run(handle_.get(), out.raw(), x.raw(), w.raw(), bias.raw(), workspace_.memory, stream_);
  return true;
}

const MatmulPlan& Matmul::plan_for(const PlanKey& key, const void* bias) {
  const auto found = plans_.find(key);
  if (found != plans_.end()) {
    if (found->second.use != uses_.end()) uses_.splice(uses_.begin(), uses_, found->second.use);
    return *found->second.plan;
  }
  auto plan = std::make_unique<MatmulPlan>(handle_.get(), key, bias, kWorkspaceBytes);
  if (preparing_) return *plans_.emplace(key, Kept{std::move(plan), uses_.end()}).first->second.plan;
  if (uses_.size() >= kMostPlans) {  // launches under way hold what they need of a plan
    plans_.erase(uses_.back());
    uses_.pop_back();
  }
  uses_.push_front(key);
  return *plans_.emplace(key, Kept{std::move(plan), uses_.begin()}).first->second.plan;
}

Tensor Matmul::converted(Tensor x, DType dtype, Scratch& scratch) {
  const size_t bytes = static_cast<size_t>(x.elements()) * size_of(dtype);
  const Tensor out(take(scratch, bytes), dtype, x.shape());
  if (!preparing_) queue(stream_, ops::Cast{out, x});
  return out;
}

void* Matmul::take(Scratch& scratch, size_t bytes) {
  if (scratch.bytes < bytes || scratch.memory == nullptr) {
    scratch.blocks.push_back(take_device_memory(bytes, "products"));
    scratch.memory = scratch.blocks.back().get();
    scratch.bytes = bytes;
  }
  return scratch.memory;
}

void Matmul::lend(const ProductScratch& bytes, const std::array<void*, kScratchUses>& memory) {
  const std::array<Scratch*, kScratchUses> uses{&activations_, &biases_, &sums_, &expanded_, &codes_};
  for (size_t i = 0; i < kScratchUses; ++i) {
    if (bytes[i] <= uses[i]->bytes) continue;
    uses[i]->memory = memory[i];
    uses[i]->bytes = bytes[i];
  }
}

}  // namespace uhd::cuda
