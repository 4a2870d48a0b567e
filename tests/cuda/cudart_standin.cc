// Memory, copies, devices and errors of the CUDA stand-in.
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>

#include "tests/cuda/cuda_emulation.h"
#include "tests/cuda/stream_queue.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define UHD_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UHD_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define UHD_POISON(p, n)
#define UHD_UNPOISON(p, n)
#endif

namespace uhd::emulation {
namespace {

constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuard = 0xa5;

struct Buffer {
  size_t bytes;
  uint64_t number;
  int device;  // -1: pinned host memory
};

struct Machine {
  std::mutex mutex;
  std::map<uintptr_t, Buffer> buffers;  // by first byte
  uint64_t last_number = 0;
  int devices = 8;
  size_t memory = size_t{8} << 30;
  int architecture = 80;
  std::mutex report_mutex;  // of its own: guards are checked while the other lock is held
  std::string failure;
};
Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

thread_local int device = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaError_t described = cudaSuccess;
thread_local std::string description;

cudaError_t sticky() {
  if (failure().empty()) return cudaSuccess;
  return last_error = cudaErrorLaunchFailure;
}

// The buffer that holds [p, p + bytes); the lock is held.
const Buffer* find(const void* p, size_t bytes) {
  Machine& m = machine();
  const auto address = reinterpret_cast<uintptr_t>(p);
  auto at = m.buffers.upper_bound(address);
  if (at == m.buffers.begin()) return nullptr;
  --at;
  if (address - at->first > at->second.bytes || bytes > at->second.bytes - (address - at->first))
    return nullptr;
  return &at->second;
}

size_t allocated_locked(int of) {
  size_t sum = 0;
  for (const auto& [address, buffer] : machine().buffers)
    if (buffer.device == of) sum += buffer.bytes;
  return sum;
}

void check_guard(uintptr_t address, const Buffer& buffer) {
  const auto* low = reinterpret_cast<unsigned char*>(address) - kGuardBytes;
  const auto* high = reinterpret_cast<unsigned char*>(address) + buffer.bytes;
  UHD_UNPOISON(low, kGuardBytes);
  UHD_UNPOISON(high, kGuardBytes);
  const auto damaged = [](unsigned char b) { return b != kGuard; };
  const bool below = std::any_of(low, low + kGuardBytes, damaged);
  const bool above = std::any_of(high, high + kGuardBytes, damaged);
  UHD_POISON(low, kGuardBytes);
  UHD_POISON(high, kGuardBytes);
  if (!below && !above) return;
  std::ostringstream text;
  text << "a guard was overwritten " << (below ? "below" : "above") << " a buffer of " << buffer.bytes
       << " bytes";
  fail(text.str());
}

cudaError_t make_buffer(void** out, size_t bytes, int of) {
  *out = nullptr;
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  if (of >= 0 && (bytes > m.memory || allocated_locked(of) > m.memory - bytes)) {
    return misuse(cudaErrorMemoryAllocation, "");
  }
  const size_t whole = (bytes + 2 * kGuardBytes + 511) / 512 * 512;
  auto* base = static_cast<unsigned char*>(std::aligned_alloc(512, whole));
  if (base == nullptr) return misuse(cudaErrorMemoryAllocation, "");
  std::memset(base, kGuard, whole);
  std::memset(base + kGuardBytes, 0xff, bytes);
  UHD_POISON(base, kGuardBytes);
  UHD_POISON(base + kGuardBytes + bytes, kGuardBytes);
  *out = base + kGuardBytes;
  m.buffers[reinterpret_cast<uintptr_t>(*out)] = {bytes, ++m.last_number, of};
  return cudaSuccess;
}

cudaError_t free_buffer(void* p, bool pinned) {
  if (p == nullptr) return sticky();
  Machine& m = machine();
  Buffer buffer{};
  {
    const std::lock_guard lock(m.mutex);
    const auto at = m.buffers.find(reinterpret_cast<uintptr_t>(p));
    if (at == m.buffers.end() || (at->second.device < 0) != pinned)
      return misuse(cudaErrorInvalidValue, "an address that was not allocated, or is freed already");
    buffer = at->second;
  }
  drain_device(buffer.device);  // as the real one: freeing waits
  const std::lock_guard lock(m.mutex);
  m.buffers.erase(reinterpret_cast<uintptr_t>(p));
  check_guard(reinterpret_cast<uintptr_t>(p), buffer);
  auto* base = static_cast<unsigned char*>(p) - kGuardBytes;
  UHD_UNPOISON(base, kGuardBytes);
  UHD_UNPOISON(base + kGuardBytes + buffer.bytes, kGuardBytes);
  std::memset(p, 0xff, buffer.bytes);
  std::free(base);
  return sticky();
}

// An empty text when source and target suit the direction.
std::string direction_fault(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = in_device_memory(to, bytes), from_device = in_device_memory(from, bytes);
  const bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) return "";
  if (to_device != wants_to)
    return wants_to ? "the target is not device memory" : "the target is device memory";
  if (from_device != wants_from)
    return wants_from ? "the source is not device memory" : "the source is device memory";
  return "";
}

}  // namespace

void fail(const std::string& report) {
  const std::lock_guard lock(machine().report_mutex);
  if (machine().failure.empty()) machine().failure = report;
}
std::string failure() {
  const std::lock_guard lock(machine().report_mutex);
  return machine().failure;
}
void clear_failure() {
  const std::lock_guard lock(machine().report_mutex);
  machine().failure.clear();
  last_error = cudaSuccess;
}

cudaError_t misuse(cudaError_t code, const std::string& detail) {
  described = code;
  description = detail;
  return last_error = code;
}

bool in_device_memory(const void* p, size_t bytes) {
  const std::lock_guard lock(machine().mutex);
  const Buffer* b = find(p, bytes);
  return b != nullptr && b->device >= 0;
}
bool in_pinned_memory(const void* p, size_t bytes) {
  const std::lock_guard lock(machine().mutex);
  const Buffer* b = find(p, bytes);
  return b != nullptr && b->device < 0;
}
uint64_t buffer_number(const void* p) {
  const std::lock_guard lock(machine().mutex);
  const Buffer* b = find(p, 0);
  return b == nullptr ? 0 : b->number;
}
int current_device() { return device; }

void set_devices(int count, size_t memory_bytes) {
  const std::lock_guard lock(machine().mutex);
  machine().devices = count;
  machine().memory = memory_bytes;
}
void set_architecture(int sm) {
  const std::lock_guard lock(machine().mutex);
  machine().architecture = sm;
}
int architecture() {
  const std::lock_guard lock(machine().mutex);
  return machine().architecture;
}
size_t allocated_bytes(int of) {
  const std::lock_guard lock(machine().mutex);
  return allocated_locked(of);
}
void check_guards() {
  const std::lock_guard lock(machine().mutex);
  for (const auto& [address, buffer] : machine().buffers) check_guard(address, buffer);
}

}  // namespace uhd::emulation

using namespace uhd::emulation;

extern "C" {

cudaError_t cudaMalloc(void** out, size_t bytes) {
  if (capturing_on_this_thread())
    return misuse(cudaErrorStreamCaptureUnsupported, "an allocation during capture");
  if (sticky() != cudaSuccess) return sticky();
  return make_buffer(out, bytes, current_device());
}
cudaError_t cudaFree(void* p) { return free_buffer(p, false); }
cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned) { return make_buffer(out, bytes, -1); }
cudaError_t cudaMallocHost(void** out, size_t bytes) { return make_buffer(out, bytes, -1); }
cudaError_t cudaFreeHost(void* p) { return free_buffer(p, true); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (sticky() != cudaSuccess) return sticky();
  if (const std::string fault = direction_fault(to, from, bytes, kind); !fault.empty())
    return misuse(cudaErrorInvalidValue, "a copy of " + std::to_string(bytes) + " bytes: " + fault);
  // Pageable sources are staged at once by the real one; pinned and device memory is read when the copy runs.
  if (kind == cudaMemcpyHostToDevice && !in_pinned_memory(from, bytes)) {
    const auto* first = static_cast<const std::byte*>(from);
    const auto staged = std::make_shared<std::vector<std::byte>>(first, first + bytes);
    return enqueue(stream, "a copy to the device", [=] { std::memcpy(to, staged->data(), bytes); }, {to});
  }
  return enqueue(stream, "a copy", [=] { std::memmove(to, from, bytes); }, {to, from});
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t status = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return status != cudaSuccess ? status : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return misuse(cudaErrorInvalidPitchValue, "rows overlap");
  if (width == 0 || height == 0) return sticky();
  const size_t to_bytes = (height - 1) * to_pitch + width, from_bytes = (height - 1) * from_pitch + width;
  std::string fault = direction_fault(to, from, 1, kind);
  if (fault.empty())
    fault = direction_fault(static_cast<std::byte*>(to) + to_bytes - 1,
                            static_cast<const std::byte*>(from) + from_bytes - 1, 1, kind);
  if (!fault.empty()) return misuse(cudaErrorInvalidValue, "a copy of rows: " + fault);
  return enqueue(stream, "a copy of rows",
                 [=] {
                   for (size_t row = 0; row < height; ++row)
                     std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                                 static_cast<const std::byte*>(from) + row * from_pitch, width);
                 },
                 {to, from});
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  if (!in_device_memory(p, bytes)) return misuse(cudaErrorInvalidValue, "memset outside device memory");
  return enqueue(stream, "a memset", [=] { std::memset(p, value, bytes); }, {p});
}
cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  const cudaError_t status = cudaMemsetAsync(p, value, bytes, nullptr);
  return status != cudaSuccess ? status : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  const std::lock_guard lock(machine().mutex);
  *total = machine().memory;
  const size_t used = allocated_locked(device);
  *free_bytes = machine().memory > used ? machine().memory - used : 0;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* out, const void* p) {
  *out = {};
  const std::lock_guard lock(machine().mutex);
  const Buffer* b = find(p, 0);
  out->type = b == nullptr    ? cudaMemoryTypeUnregistered
              : b->device < 0 ? cudaMemoryTypeHost
                              : cudaMemoryTypeDevice;
  out->device = b == nullptr ? -1 : std::max(0, b->device);
  out->devicePointer = out->hostPointer = const_cast<void*>(p);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = machine().devices;
  return *count == 0 ? misuse(cudaErrorNoDevice, "") : cudaSuccess;
}
cudaError_t cudaSetDevice(int index) {
  if (index < 0 || index >= machine().devices) return misuse(cudaErrorInvalidDevice, "");
  device = index;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* index) {
  *index = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  *p = {};
  // Every process has devices of its own.
  const int name[2] = {getpid(), device};
  std::memcpy(p->uuid.bytes, name, sizeof(name));
  std::strcpy(p->name, "emulated device");
  p->major = architecture() / 10;
  p->minor = architecture() % 10;
  p->totalGlobalMem = machine().memory;
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 99 << 10;
  p->l2CacheSize = 4 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = architecture() / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = architecture() % 10;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = 99 << 10;
      break;
    default:
      return misuse(cudaErrorInvalidValue, "an attribute the stand-in does not know");
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  if (!failure().empty()) return cudaErrorLaunchFailure;
  return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() { return failure().empty() ? last_error : cudaErrorLaunchFailure; }

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t code) {
  thread_local std::string text;
  switch (code) {
    case cudaErrorMemoryAllocation:
      text = "out of memory";
      break;
    case cudaErrorInvalidValue:
      text = "invalid argument";
      break;
    case cudaErrorInvalidConfiguration:
      text = "invalid configuration argument";
      break;
    case cudaErrorNoDevice:
      text = "no CUDA-capable device is detected";
      break;
    case cudaErrorLaunchFailure:
      text = "unspecified launch failure";
      break;
    default:
      text = "error " + std::to_string(static_cast<int>(code));
  }
  if (code == cudaErrorLaunchFailure && !failure().empty()) text += ": " + failure();
  if (code == described && !description.empty()) text += ": " + description;
  return text.c_str();
}

}  // extern "C"
