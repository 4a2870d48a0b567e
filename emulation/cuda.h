// Emulates CUDA's execution model on the host: kernels/cuda/device.cuh uses this when no nvcc compiles it.
//
// The threads of a block are fibers of one OS thread. A fiber runs until it meets a barrier or a warp
// operation, and the order in which fibers run is a parameter, so that a test can run the same kernel under
// several. Behaviour that a GPU leaves undefined is a failure here: a barrier that some thread never reaches,
// different barriers reached by threads of one block, memory past its end. A failure is sticky, as on a
// device: every later call of the runtime returns cudaErrorLaunchFailure, whose cudaGetErrorString is the
// report, until clear_failure().
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;

namespace uhd::emulation {

// `forward` and `reverse` order threads and blocks. `shuffled` takes another order of all threads between any
// two waits. With `run_ahead`, one random warp goes as far as it can while the others stand still.
enum class LaneOrder { forward, reverse, shuffled, run_ahead };
void set_lane_order(LaneOrder order, unsigned seed = 1);
// Returns the order of the name "forward", "reverse", "shuffled" or "run_ahead". A program that sets no order
// takes the one in UHD_LANE_ORDER, or forward if that is not set.
LaneOrder order_named(std::string_view name);

// Reports a fault of a kernel, and its place; the first report wins.
void fail(const std::string& report);
std::string failure();  // empty if nothing failed
void clear_failure();

// The functions below are called inside a kernel.
void block_barrier(const char* file, int line);
// Waits for every lane of the mask; the last to come runs combine over the slots of all 32 lanes (null for a
// lane that is not in the mask).
using Combine = void (*)(void* const* slots);
void warp_collective(unsigned mask, void* slot, Combine combine, const char* file, int line);
inline unsigned thread_rank() { return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x; }
inline unsigned lane_rank() { return thread_rank() % 32; }
// Returns the block's dynamic shared memory, 1024-byte aligned, filled with NaN for each block.
std::byte* dynamic_shared();
// Marks an array as belonging to the running block: it is filled with NaN when the block first asks for it.
void use_in_block(void* array, size_t bytes);
// Checks a read of a wide vector: an address that is no multiple of `alignment` is a failure.
void require_aligned(const void* address, size_t alignment, const char* file, int line);
// Reports that the calling lane broke a rule: a failure that names the lane.
void fail_lane(const char* what, const char* file, int line);
// These are the tensor-core instructions, with the fragments that the PTX manual defines; each is a warp
// operation.
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  const char* file = __builtin_FILE(), int line = __builtin_LINE());
void load_matrix_x4(uint32_t (&r)[4], const void* row, bool transposed, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE());
// Emulates cp.async: nothing is copied before the lane waits for it.
void copy_async(void* shared, const void* global, int bytes, int valid_bytes);
void commit_copies();
void wait_copies(int groups_left);

// Flags are shared between devices, whose kernels run on threads of their own. A lane that pauses lets the
// other lanes of its block go on, and the other devices.
void store_flag(uint32_t* flag, uint32_t value);
uint32_t load_flag(const uint32_t* flag);
void pause_lane();
uint64_t clock_ns();
// A FlagWatch lets a test observe flags. It is called on the thread that runs the kernel, which it may hold
// up: `stored` behind each store, `loaded` behind each load. Set it while no kernel runs.
struct FlagWatch {
  std::function<void(const uint32_t* flag, uint32_t value)> stored;
  std::function<void(const uint32_t* flag, uint32_t value)> loaded;
};
void watch_flags(FlagWatch watch);

// Runs `body` once for every thread of the grid when the stream comes to it. `words` are the arguments'
// bytes: a device buffer that one of them points into must still be alive then.
cudaError_t launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   std::function<void()> body, std::vector<uint64_t> words);

template <class T>
T shuffle(unsigned mask, T value, unsigned source, const char* file, int line) {
  struct Slot {
    T value;
    unsigned source;
    T result;
  } slot{value, source, value};
  warp_collective(
      mask, &slot,
      [](void* const* slots) {
        for (int i = 0; i < 32; ++i) {
          auto* own = static_cast<Slot*>(slots[i]);
          if (own == nullptr) continue;
          const auto* from = static_cast<const Slot*>(slots[own->source % 32]);
          if (from == nullptr) {
            fail("a lane shuffles from a lane outside the mask");
          } else {
            own->result = from->value;
          }
        }
      },
      file, line);
  return slot.result;
}

}  // namespace uhd::emulation

#ifndef __launch_bounds__
#define __launch_bounds__(...)
#endif
#undef __shared__
#define __shared__ static thread_local
#undef __launch_bounds__
#define __launch_bounds__(...)

#define UHD_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(UHD_PLACE) { uhd::emulation::block_barrier(file, line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, UHD_PLACE) {
  char slot = 0;
  uhd::emulation::warp_collective(
      mask, &slot, [](void* const*) {}, file, line);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, UHD_PLACE) {
  const unsigned lane = uhd::emulation::lane_rank();
  const unsigned first = lane & ~static_cast<unsigned>(width - 1);
  return uhd::emulation::shuffle(mask, value, first + static_cast<unsigned>(source) % width, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, UHD_PLACE) {
  const unsigned lane = uhd::emulation::lane_rank();
  const unsigned other = lane ^ static_cast<unsigned>(lane_mask);
  const bool inside =
      (other & ~static_cast<unsigned>(width - 1)) <= (lane & ~static_cast<unsigned>(width - 1));
  return uhd::emulation::shuffle(mask, value, inside ? other : lane, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, UHD_PLACE) {
  const unsigned lane = uhd::emulation::lane_rank();
  return uhd::emulation::shuffle(mask, value, lane % width >= delta ? lane - delta : lane, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, UHD_PLACE) {
  struct Slot {
    bool own;
    unsigned all;
  } slot{predicate != 0, 0};
  uhd::emulation::warp_collective(
      mask, &slot,
      [](void* const* slots) {
        unsigned all = 0;
        for (int i = 0; i < 32; ++i)
          if (slots[i] != nullptr && static_cast<Slot*>(slots[i])->own) all |= 1u << i;
        for (int i = 0; i < 32; ++i)
          if (slots[i] != nullptr) static_cast<Slot*>(slots[i])->all = all;
      },
      file, line);
  return slot.all;
}

// One block runs at a time, so plain operations are atomic.
template <class T>
T atomicAdd(T* at, T value) {
  const T old = *at;
  *at = old + value;
  return old;
}
#undef UHD_PLACE
