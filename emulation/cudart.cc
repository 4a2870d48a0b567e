// Implements memory, copies, devices and errors of the CUDA stand-in.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "emulation/cuda.h"
#include "emulation/stream_queue.h"

#if defined(UHD_ADDRESS_SANITIZED)
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
constexpr size_t kPage = 4096;
constexpr size_t kLeastExported = size_t{64} << 10;  // smaller buffers do not begin at a page

constexpr int kPinned = -1;   // as a buffer's device
constexpr int kForeign = -2;  // opened, of another process

struct Buffer {
  size_t bytes;
  uint64_t number;
  int device;
  size_t offset = kGuardBytes;  // from where its memory was allocated
};

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// An Export is a buffer whose pages are shared: a file without a name, which another process opens through
// /proc.
struct Export {
  int file = -1;
  std::jthread device;  // runs the work queued there
};
struct Handle {
  uint64_t magic;
  int32_t process;
  int32_t file;
  uint64_t bytes;
};
static_assert(sizeof(Handle) <= sizeof(cudaIpcMemHandle_t));
constexpr uint64_t kHandleMagic = 0x7568642d697063;

struct Machine {
  std::mutex mutex;
  std::map<uintptr_t, Buffer> buffers;  // by first byte
  std::map<uintptr_t, Export> exports;
  bool peer_access = true;
  std::set<std::pair<int, int>> reached;  // (device, other) with peer access on
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
  ++counters().taken;
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  if (of >= 0 && (bytes > m.memory || allocated_locked(of) > m.memory - bytes)) {
    return misuse(cudaErrorMemoryAllocation, "");
  }
  const bool may_be_exported = of >= 0 && bytes >= kLeastExported;
  const size_t unit = may_be_exported ? kPage : 512, offset = may_be_exported ? kPage : kGuardBytes;
  const size_t whole = (offset + bytes + kGuardBytes + unit - 1) / unit * unit;
  auto* base = static_cast<unsigned char*>(std::aligned_alloc(unit, whole));
  if (base == nullptr) return misuse(cudaErrorMemoryAllocation, "");
  auto* const first = base + offset;
  std::memset(first - kGuardBytes, kGuard, kGuardBytes);
  std::memset(first, 0xff, bytes);
  std::memset(first + bytes, kGuard, whole - offset - bytes);
  UHD_POISON(first - kGuardBytes, kGuardBytes);
  UHD_POISON(first + bytes, kGuardBytes);
  *out = first;
  m.buffers[reinterpret_cast<uintptr_t>(first)] = {bytes, ++m.last_number, of, offset};
  return cudaSuccess;
}

// The pages of a buffer, its rear guard included, come to lie in `file`, or in none (-1); their values stay.
bool lay_pages(void* p, size_t bytes, int file) {
  const size_t whole = pages(bytes + kGuardBytes);
  UHD_UNPOISON(static_cast<unsigned char*>(p) + bytes, kGuardBytes);
  const std::vector<char> values(static_cast<char*>(p), static_cast<char*>(p) + whole);
  const int flags = file >= 0 ? MAP_SHARED | MAP_FIXED : MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
  if (file >= 0 && ftruncate(file, static_cast<off_t>(whole)) != 0) return false;
  if (mmap(p, whole, PROT_READ | PROT_WRITE, flags, file, 0) == MAP_FAILED) return false;
  std::memcpy(p, values.data(), whole);
  UHD_POISON(static_cast<unsigned char*>(p) + bytes, kGuardBytes);
  return true;
}

void run_device(const std::stop_token& stop, int which) {
  while (!stop.stop_requested() && has_streams(which)) {
    const bool moved = advance_device(which);
    std::this_thread::sleep_for(std::chrono::microseconds(moved ? 20 : 500));
  }
}

void end_export(void* p, size_t bytes) {
  Export ended;
  {
    const std::lock_guard lock(machine().mutex);
    const auto at = machine().exports.find(reinterpret_cast<uintptr_t>(p));
    if (at == machine().exports.end()) return;
    ended = std::move(at->second);
    machine().exports.erase(at);
  }
  ended.device = {};
  lay_pages(p, bytes, -1);
  close(ended.file);
}

cudaError_t free_buffer(void* p, bool pinned) {
  if (p == nullptr) return sticky();
  ++counters().freed;
  Machine& m = machine();
  Buffer buffer{};
  {
    const std::lock_guard lock(m.mutex);
    const auto at = m.buffers.find(reinterpret_cast<uintptr_t>(p));
    if (at == m.buffers.end() || at->second.device == kForeign || (at->second.device < 0) != pinned)
      return misuse(cudaErrorInvalidValue, "an address that was not allocated, or is freed already");
    buffer = at->second;
  }
  drain_device(buffer.device);  // as the real one: freeing waits
  end_export(p, buffer.bytes);
  const std::lock_guard lock(m.mutex);
  m.buffers.erase(reinterpret_cast<uintptr_t>(p));
  check_guard(reinterpret_cast<uintptr_t>(p), buffer);
  auto* first = static_cast<unsigned char*>(p);
  UHD_UNPOISON(first - kGuardBytes, kGuardBytes);
  UHD_UNPOISON(first + buffer.bytes, kGuardBytes);
  std::memset(first, 0xff, buffer.bytes);
  std::free(first - buffer.offset);
  return sticky();
}

// Returns an empty text if source and target suit the direction.
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
  return b != nullptr && b->device == kPinned;
}
int buffer_device(const void* p) {
  const std::lock_guard lock(machine().mutex);
  const Buffer* b = find(p, 0);
  return b == nullptr || b->device < 0 ? -1 : b->device;
}
uint64_t buffer_number(const void* p) {
  const std::lock_guard lock(machine().mutex);
  const Buffer* b = find(p, 0);
  return b == nullptr ? 0 : b->number;
}
int current_device() { return device; }

namespace {

std::mutex watch_mutex;
std::shared_ptr<const CudaWatch> watching;

}  // namespace

void watch_cuda(CudaWatch watch) {
  const std::lock_guard lock(watch_mutex);
  watching = watch ? std::make_shared<const CudaWatch>(std::move(watch)) : nullptr;
}
void cuda_called(std::string_view call) {
  std::shared_ptr<const CudaWatch> watch;
  {
    const std::lock_guard lock(watch_mutex);
    watch = watching;
  }
  if (watch) (*watch)(call);
}

void set_devices(int count, size_t memory_bytes) {
  const std::lock_guard lock(machine().mutex);
  machine().devices = count;
  machine().memory = memory_bytes;
}
void set_peer_access(bool possible) {
  const std::lock_guard lock(machine().mutex);
  machine().peer_access = possible;
}
bool reaches(int of, int other) {
  const std::lock_guard lock(machine().mutex);
  return of == other || machine().reached.contains({of, other});
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
  for (const auto& [address, buffer] : machine().buffers)
    if (buffer.device != kForeign) check_guard(address, buffer);
}

}  // namespace uhd::emulation

using namespace uhd::emulation;

extern "C" {

cudaError_t cudaMalloc(void** out, size_t bytes) {
  cuda_called(__func__);
  if (capturing_on_this_thread())
    return misuse(cudaErrorStreamCaptureUnsupported, "an allocation during capture");
  if (sticky() != cudaSuccess) return sticky();
  return make_buffer(out, bytes, current_device());
}
cudaError_t cudaFree(void* p) {
  cuda_called(__func__);
  return free_buffer(p, false);
}
cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned) {
  cuda_called(__func__);
  return make_buffer(out, bytes, -1);
}
cudaError_t cudaMallocHost(void** out, size_t bytes) { return make_buffer(out, bytes, -1); }
cudaError_t cudaFreeHost(void* p) { return free_buffer(p, true); }
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return in_pinned_memory(host, 1) ? cudaSuccess : misuse(cudaErrorInvalidValue, "not pinned memory");
}

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
  if (kind == cudaMemcpyDeviceToHost && !in_pinned_memory(to, bytes)) ++counters().unpinned_reads;
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
cudaError_t cudaDeviceCanAccessPeer(int* can, int from, int to) {
  const std::lock_guard lock(machine().mutex);
  *can = machine().peer_access && from != to ? 1 : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int other, unsigned flags) {
  const std::lock_guard lock(machine().mutex);
  if (flags != 0 || other == device || other < 0 || other >= machine().devices)
    return misuse(cudaErrorInvalidValue, "peer access with flags, or to no other device");
  if (!machine().peer_access) return misuse(cudaErrorPeerAccessUnsupported, "");
  return machine().reached.insert({device, other}).second ? cudaSuccess
                                                          : misuse(cudaErrorPeerAccessAlreadyEnabled, "");
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* out, void* p) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto at = m.buffers.find(reinterpret_cast<uintptr_t>(p));
  if (at == m.buffers.end() || at->second.device < 0 || at->second.bytes < kLeastExported)
    return misuse(cudaErrorInvalidValue, "not the beginning of a device buffer of 64 KiB or more");
  Export& exported = m.exports[at->first];
  if (exported.file < 0) {
    exported.file = memfd_create("emulated device memory", MFD_CLOEXEC);
    if (exported.file < 0 || !lay_pages(p, at->second.bytes, exported.file))
      return misuse(cudaErrorMemoryAllocation, "no shared pages");
    exported.device = std::jthread(run_device, at->second.device);
  }
  const Handle handle{kHandleMagic, getpid(), exported.file, at->second.bytes};
  *out = {};
  std::memcpy(out, &handle, sizeof(handle));
  return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void** out, cudaIpcMemHandle_t given, unsigned flags) {
  Handle handle;
  std::memcpy(&handle, &given, sizeof(handle));
  if (handle.magic != kHandleMagic || flags != cudaIpcMemLazyEnablePeerAccess)
    return misuse(cudaErrorInvalidValue, "not a handle, or other flags than are used here");
  if (handle.process == getpid())
    return misuse(cudaErrorDeviceUninitialized, "a process cannot open its own memory");
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  if (!m.peer_access) return misuse(cudaErrorPeerAccessUnsupported, "");
  const std::string path = "/proc/" + std::to_string(handle.process) + "/fd/" + std::to_string(handle.file);
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return misuse(cudaErrorMapBufferObjectFailed, "its process is gone");
  void* p = mmap(nullptr, pages(handle.bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (p == MAP_FAILED) return misuse(cudaErrorMapBufferObjectFailed, "");
  m.buffers[reinterpret_cast<uintptr_t>(p)] = {handle.bytes, ++m.last_number, kForeign};
  *out = p;
  return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void* p) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto at = m.buffers.find(reinterpret_cast<uintptr_t>(p));
  if (at == m.buffers.end() || at->second.device != kForeign)
    return misuse(cudaErrorInvalidValue, "an address that was not opened, or is closed already");
  munmap(p, pages(at->second.bytes));
  m.buffers.erase(at);
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
    case cudaErrorPeerAccessUnsupported:
      return "cudaErrorPeerAccessUnsupported";
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
    case cudaErrorPeerAccessUnsupported:
      text = "peer access is not supported between these two devices";
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
