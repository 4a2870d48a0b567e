#include "kernels/cuda/backend.h"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <utility>

#include "base/bytes_text.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/readback.h"
#include "kernels/cuda/rehearsal.h"
#include "kernels/plugin.h"

namespace uhd::cuda {
namespace {

constexpr size_t kStagingBytes = size_t{16} << 20;

// The device exists and the driver works, or one line says what does not.
int usable_device(const BackendOptions& options) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  // The runtime also returns this if there is no driver at all.
  require(status != cudaErrorInsufficientDriver,
          "backend.kind=cuda: this machine has no NVIDIA driver, or one that is too old for CUDA ",
          CUDART_VERSION / 1000);
  require(status == cudaSuccess, "backend.kind=cuda: ", cudaGetErrorString(status));
  const int device = options.device < 0 && count > 0 ? options.local_rank % count : options.device;
  require(device >= 0 && device < count, "backend.kind=cuda: device ", device, " is wanted, ", count,
          count == 1 ? " is there" : " are there");
  check_cuda(cudaSetDevice(device), "choosing the device");
  return device;
}

constexpr int kLeastForFp8 = 89;  // its tensor cores take e4m3

int architecture_of(int device) {
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
             "asking for the device's architecture");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
             "asking for the device's architecture");
  return major * 10 + minor;
}

}  // namespace

Stream::Stream(int device) {
  check_cuda(cudaSetDevice(device), "choosing the device");
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

Backend::Backend(const BackendOptions& options)
    : device_(usable_device(options)),
      activations_(options.compute == WeightFormat::f32 ? DType::f32 : DType::bf16),
      compute_(options.compute),
      graphs_(options.graphs),
      quantize_activations_(options.quantize_activations),
      stream_(device_),
      uploads_(device_),
      beside_(device_),
      staging_(stream_.get(), uploads_.get(), kStagingBytes),
      matmul_(stream_.get(), options.quantize_activations),
      attention_(stream_.get(), attention_form(options.attention)) {}

// The owners of memory are gone by now; work that they queued may still run.
Backend::~Backend() {
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_.get());
}

cudaStream_t Backend::stream() const {
  check_cuda(cudaSetDevice(device_), "choosing the device");
  return stream_.get();
}

cudaStream_t Backend::beside() const {
  check_cuda(cudaSetDevice(device_), "choosing the device");
  return beside_.get();
}

std::string Backend::description() const {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device_), "asking for the device's properties");
  return message(
      "cuda ", device_, " (", properties.name, ", sm_", properties.major, properties.minor, ", ",
      bytes_text(properties.totalGlobalMem), "), ", name_of(activations_), " activations",
      quantize_activations_ ? ", codes in products of more than " + std::to_string(kFewRows) + " rows" : "");
}

size_t Backend::free_memory() const {
  stream();
  size_t left = 0, total = 0;
  check_cuda(cudaMemGetInfo(&left, &total), "asking for the memory left");
  return left + (arena_ ? arena_->left() : 0);
}

DeviceBuffer Backend::allocate(size_t bytes) {
  check_not_recording("an allocation");
  void* data = arena_ ? arena_->take(bytes) : nullptr;
  if (data == nullptr) {
    stream();
    data = take_device_memory(bytes, "tensors").release();
  }
  allocated_ += bytes;
  return DeviceBuffer(*this, data, bytes);
}

void Backend::reserve(size_t bytes) {
  check(!arena_, "memory is reserved once");
  stream();
  reserved_ = take_device_memory(bytes, "all of a rank");
  arena_.emplace(reserved_.get(), bytes);
}

std::unique_ptr<uhd::Backend> Backend::rehearsal() const {
  return std::make_unique<Rehearsal>(description(), activations_, quantize_activations_, free_memory());
}

void Backend::release(void* data, size_t bytes) noexcept {
  allocated_ -= bytes;
  // Work that is still queued on a part runs before any that its next owner queues.
  if (arena_ && arena_->give_back(data, bytes)) return;
  cudaSetDevice(device_);
  cudaFree(data);
}

void Backend::do_upload(Tensor device, Tensor host) {
  check_not_recording("an upload");
  stream();
  staging_.upload(device.raw(), host.raw(), host.bytes());
}

void Backend::do_download(Tensor host, Tensor device) {
  check_not_recording("a download");
  wait();  // the copy itself blocks inside the driver, where nobody could look
  if (host.bytes() != 0)
    check_cuda(cudaMemcpyAsync(host.raw(), device.raw(), host.bytes(), cudaMemcpyDeviceToHost, stream()),
               "copying to the host");
  synchronize();
}

void Backend::synchronize() {
  check_not_recording("a wait");
  wait();
  check_cuda(cudaStreamSynchronize(stream()), "waiting for the device");
}

void Backend::while_waiting(const void* owner, Look look) {
  if (look) {
    looks_[owner] = std::move(look);
  } else {
    looks_.erase(owner);
  }
}

void Backend::wait() {
  if (looks_.empty()) return;
  const cudaStream_t stream = this->stream();
  look_until([stream] { return cudaStreamQuery(stream) != cudaErrorNotReady; });
}

void Backend::wait_for(cudaEvent_t event) {
  stream();
  if (!looks_.empty()) look_until([event] { return cudaEventQuery(event) != cudaErrorNotReady; });
  check_cuda(cudaEventSynchronize(event), "waiting for the device");
}

void Backend::look_until(const std::function<bool()>& done) {
  constexpr Duration kLongestLook = std::chrono::seconds(1);  // between two: more is a pause
  Duration waited{};
  TimePoint last = Clock::now();
  for (bool busy = true; busy;) {
    busy = !done();
    const TimePoint now = Clock::now();
    waited = busy ? waited + std::min<Duration>(now - std::exchange(last, now), kLongestLook) : Duration{};
    for (const auto& [owner, look] : looks_) look(waited);
  }
}

// Its values would be copied again, or never, when the recording runs.
void Backend::check_not_recording(const char* call) const { check(!recording_, call, " cannot be recorded"); }

std::unique_ptr<uhd::Readback> Backend::make_readback(size_t bytes) {
  stream();  // the device becomes this thread's
  return std::make_unique<Readback>(*this, bytes);
}

std::unique_ptr<uhd::Mark> Backend::make_mark() {
  stream();  // the device becomes this thread's
  return std::make_unique<Mark>(*this);
}

std::unique_ptr<Recording> Backend::record(const std::function<void()>& queue) {
  if (!graphs_) return nullptr;
  check_not_recording("a recording");
  struct Notice {
    bool& set;
    ~Notice() { set = false; }
  } const notice{recording_ = true};
  return std::make_unique<Graph>(stream(), queue);
}

void Backend::begin_range(const char* name) { nvtxRangePushA(name); }

void Backend::end_range() { nvtxRangePop(); }

Weight Backend::pack_quantized(Tensor host, WeightFormat format, Tensor whole) {
  Weight w{format, host.dim(0), host.dim(1), {}, {}};
  require(format != WeightFormat::fp8 || !quantize_activations_ || architecture_of(device_) >= kLeastForFp8,
          "model.quantize_activations with model.quantize=fp8 needs a device of sm_", kLeastForFp8,
          " or later, and device ", device_, " is sm_", architecture_of(device_),
          ": take int8, or leave it out");
  const int64_t row_bytes = packets_of(w.k, format) * kPacketBytes;
  w.data = allocate(packed_bytes(w.n, w.k, format).data);
  const std::vector<std::byte> scales =
      pack_codes(host, whole, format, [&](int64_t first, std::span<const std::byte> rows) {
        staging_.upload(static_cast<std::byte*>(w.data.data()) + first * row_bytes, rows.data(), rows.size());
      });
  w.scales = allocate(scales.size());
  staging_.upload(w.scales.data(), scales.data(), scales.size());
  return w;
}

void Backend::take_scratch() {
  std::array<void*, kScratchUses> memory{};
  for (size_t i = 0; i < kScratchUses; ++i) {
    if (scratch_[i] == 0) continue;
    scratch_memory_[i] = allocate(scratch_[i]);
    memory[i] = scratch_memory_[i].data();
  }
  matmul_.lend(scratch_, memory);
}

Weight Backend::do_pack(Tensor host, WeightFormat format, Tensor whole) {
  if (expected_rows_ > 0) {
    cover(scratch_,
          scratch_of(host.dim(0), host.dim(1), format, expected_rows_, activations_, quantize_activations_));
  }
  if (is_quantized(format)) return pack_quantized(host, format, whole);
  Weight w{format, host.dim(0), host.dim(1), {}, {}};
  const int64_t stride = weight_stride(w.k, format);
  const int64_t row_bytes = stride * (format == WeightFormat::bf16 ? 2 : 4);
  w.data = allocate(packed_bytes(w.n, w.k, format).data);
  auto* const to = static_cast<std::byte*>(w.data.data());
  pack_rows(
      host, format, stride, [&](size_t least) { return staging_.room(least); },
      [&](int64_t first, size_t bytes) { staging_.send(to + first * row_bytes, bytes); });
  return w;
}

}  // namespace uhd::cuda

namespace {

std::unique_ptr<uhd::Backend> make_backend(const uhd::BackendOptions& options) {
  return std::make_unique<uhd::cuda::Backend>(options);
}

}  // namespace

extern "C" const uhd::CudaPlugin uhd_cuda_plugin = {UHD_BACKEND_INTERFACE, make_backend};
