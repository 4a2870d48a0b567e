// The stand-in for the CUDA runtime, as the other stand-ins and the tests see it.
//
// A stream is a queue of closures. By default it is late: nothing runs before someone waits for the stream,
// for an event recorded in it, or for the device, so that whoever reads or reuses memory too early meets NaN
// or old values. Capture keeps the same closures for a graph. Device memory is host memory filled with NaN
// between two guards; freed memory that queued or captured work still points into is a failure when that work
// runs.
//
// Memory can be opened by other processes of this machine (cudaIpc*): exported, its pages become shared. From
// then on until it is freed, or the device's last stream is gone, the device runs by itself, as neighbours
// may wait for what is queued there.
//
// Thread-safe. A stream's work runs on the thread that waits for it, without any lock held, so that work of
// two streams may wait for each other across threads (collectives).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd::emulation {

// late: as above. random: now and then a call also runs some of the work queued before. eager: at once.
enum class StreamOrder { late, random, eager };
void set_stream_order(StreamOrder order, unsigned seed = 1);

// Appends work to a stream (or to the graph it is captured for). `touches`: addresses in device or pinned
// memory that must be alive when the work runs. Work reports what goes wrong by fail().
cudaError_t enqueue(cudaStream_t stream, std::string what, std::function<void()> work,
                    std::vector<const void*> touches);

// The same for work that waits for someone else: `step` never blocks and is called until it returns true.
// Captured work begins again at each launch of its graph.
cudaError_t enqueue_steps(cudaStream_t stream, std::string what, std::function<bool()> step,
                          std::vector<const void*> touches);
// A fault for tests of tests: the host's waits for events return at once, as if they were left out.
void leave_out_event_waits(bool out);

// Runs the first of what is queued, as a device would by itself. False: nothing is queued.
bool advance(cudaStream_t stream);

// Whether [p, p + bytes) lies in one live device buffer.
bool in_device_memory(const void* p, size_t bytes);
bool in_pinned_memory(const void* p, size_t bytes);

// The machine. Memory is of each device; set them before anything is allocated.
void set_devices(int count, size_t memory_bytes = size_t{8} << 30);
// Whether devices can reach each other's memory: true from the start.
void set_peer_access(bool possible);
// Whether memory of device `other` may be used by what runs on `device`: of its own, or peer access is on.
bool reaches(int device, int other);
// 80 is sm_80, what it is at first.
void set_architecture(int sm);
int architecture();
size_t allocated_bytes(int device);
// Fails for every buffer whose guards were written over; also done when a buffer is freed.
void check_guards();

// A test's look at calls that take something, record or ask: cudaMalloc, cudaHostAlloc, cudaFree,
// cudaStreamBeginCapture, cudaGraphInstantiate, cudaGraphLaunch, cublasLtMatmulAlgoGetHeuristic. Called on
// the thread that calls, before the call does anything; it may hold the call up. Empty: nobody looks.
using CudaWatch = std::function<void(std::string_view call)>;
void watch_cuda(CudaWatch watch);
void cuda_called(std::string_view call);  // for the stand-ins
// The device of this thread.
int current_device();

// What holds up a server while it works: calls of this process so far, on all of its devices.
struct Counts {
  uint64_t stream_waits = 0;    // for everything queued on a stream or a device
  uint64_t unpinned_reads = 0;  // copies to host memory that is not pinned
  uint64_t taken = 0;           // device and pinned memory
  uint64_t freed = 0;
};
Counts counts();

// What cudaGetErrorString adds to `code` on this thread.
cudaError_t misuse(cudaError_t code, const std::string& detail);

}  // namespace uhd::emulation
