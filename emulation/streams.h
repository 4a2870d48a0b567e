// This is the stand-in for the CUDA runtime, as the other stand-ins and the tests see it.
//
// A stream is a queue of closures. By default it is late: nothing runs before someone waits for the stream,
// for an event recorded in it, or for the device, so that a reader or reuser of memory that comes too early
// meets NaN or old values. Capture keeps the same closures for a graph. Device memory is host memory filled
// with NaN between two guards. Freed memory that queued or captured work still points into is a failure when
// that work runs.
//
// Memory can be opened by other processes of this machine (cudaIpc*): exported, its pages become shared. From
// then on until it is freed, or the device's last stream is gone, the device runs by itself, because
// neighbours may wait for the work queued there.
//
// Everything is thread-safe. A stream's work runs on the thread that waits for it, without any lock held, so
// that work of two streams may wait for each other across threads (collectives).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd::emulation {

// `late` works as described above. With `random`, a call now and then also runs some of the work queued
// before. With `eager`, work runs at once.
enum class StreamOrder { late, random, eager };
void set_stream_order(StreamOrder order, unsigned seed = 1);

// Appends work to a stream (or to the graph it is captured for). `touches` are addresses in device or pinned
// memory that must be alive when the work runs. Work reports failures by fail().
cudaError_t enqueue(cudaStream_t stream, std::string what, std::function<void()> work,
                    std::vector<const void*> touches);

// Does the same for work that waits for someone else: `step` never blocks and is called until it returns
// true. Captured work begins again at each launch of its graph.
cudaError_t enqueue_steps(cudaStream_t stream, std::string what, std::function<bool()> step,
                          std::vector<const void*> touches);
// Injects a fault, for tests of tests: the host's waits for events return at once, as if they were left out.
void leave_out_event_waits(bool out);

// Runs the first of the queued tasks, as a device would by itself. Returns false if nothing is queued.
bool advance(cudaStream_t stream);

// Returns true if [p, p + bytes) lies in one live device buffer.
bool in_device_memory(const void* p, size_t bytes);
bool in_pinned_memory(const void* p, size_t bytes);

// Sets up the machine; each device has this much memory. Set them before anything is allocated.
void set_devices(int count, size_t memory_bytes = size_t{8} << 30);
// Says whether devices can reach each other's memory, which is true at the start.
void set_peer_access(bool possible);
// Returns true if work on `device` may use memory of device `other`: if it is its own, or if peer access is
// on.
bool reaches(int device, int other);
// 80 means sm_80, the initial value.
void set_architecture(int sm);
int architecture();
size_t allocated_bytes(int device);
// Fails for every buffer whose guards were written over. Freeing a buffer does this check too.
void check_guards();

// A CudaWatch lets a test observe calls that allocate, record or query: cudaMalloc, cudaHostAlloc, cudaFree,
// cudaStreamBeginCapture, cudaGraphInstantiate, cudaGraphLaunch, cublasLtMatmulAlgoGetHeuristic. It is called
// on the calling thread, before the call does anything; it may hold the call up. An empty one observes
// nothing.
using CudaWatch = std::function<void(std::string_view call)>;
void watch_cuda(CudaWatch watch);
void cuda_called(std::string_view call);  // the stand-ins call it
// Returns the device of this thread.
int current_device();

// Counts are the calls of this process so far, on all of its devices, that hold up a server while it works.
struct Counts {
  uint64_t stream_waits = 0;    // waits for everything queued on a stream or a device
  uint64_t unpinned_reads = 0;  // copies to host memory that is not pinned
  uint64_t taken = 0;           // allocations of device and pinned memory
  uint64_t freed = 0;
};
Counts counts();

// Sets the text that cudaGetErrorString adds to `code` on this thread.
cudaError_t misuse(cudaError_t code, const std::string& detail);

}  // namespace uhd::emulation
