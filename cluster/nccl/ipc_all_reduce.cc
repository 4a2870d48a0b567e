#include "cluster/nccl/ipc_all_reduce.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <vector>

#include "cluster/idle_wait.h"
#include "kernels/cuda/check.h"

namespace uhd {
namespace {

constexpr uint32_t kLeft = 1;

// Returns a buffer as it is before the first sum. Ranks learn of it only afterwards.
cuda::DeviceMemory fresh_buffer(cuda::Backend& backend) {
  backend.stream();  // the device becomes this thread's
  cuda::DeviceMemory buffer = cuda::take_device_memory(sizeof(cuda::PeerBuffer), "sums by IPC");
  cuda::PeerFlags flags;
  cuda::fill_flags(flags);
  const Shape bytes{static_cast<int64_t>(sizeof(flags))};
  backend.upload(Tensor(buffer.get(), DType::u8, bytes), Tensor(&flags, DType::u8, bytes));
  backend.synchronize();
  return buffer;
}

}  // namespace

IpcAllReduce::IpcAllReduce(cuda::Backend& backend, int rank, int size, Duration limit,
                           const Exchange& exchange)
    : backend_(backend), size_(size) {
  backend_.stream();  // the device becomes this thread's
  void* ended = nullptr;
  cuda::check_cuda(cudaHostAlloc(&ended, sizeof(uint32_t), cudaHostAllocMapped), "allocating pinned memory");
  ended_ = new (ended) uint32_t{0};
  memory_ = std::make_unique<PeerMemory>(backend, fresh_buffer(backend), rank, exchange);
  if (!obstacle().empty()) return;
  for (int r = 0; r < size; ++r) peers_.of[r] = static_cast<cuda::PeerBuffer*>(memory_->of(r));
  peers_.rank = rank;
  peers_.size = size;
  peers_.limit_ns =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(limit).count());
  void* seen = nullptr;
  cuda::check_cuda(cudaHostGetDevicePointer(&seen, ended_, 0), "mapping pinned memory");
  peers_.ended = static_cast<uint32_t*>(seen);
}

IpcAllReduce::~IpcAllReduce() {
  end();
  try {
    cudaStreamSynchronize(backend_.stream());
  } catch (const Error&) {
    // The device is lost, and so is the work that ran there.
  }
  memory_.reset();
}

void IpcAllReduce::sum(Tensor x) {
  cuda::sum_over_peers(backend_.stream(), x, peers_, cuda::usual_shots(x.bytes(), size_));
}

void IpcAllReduce::look() const {
  const uint32_t ended = std::atomic_ref(*ended_).load(std::memory_order_acquire);
  if (ended == 0) return;
  require(ended == cuda::kEndedByHost, "a sum of the group: rank ", ended - 1, " did not come within ",
          static_cast<double>(peers_.limit_ns) * 1e-9, " s");
  throw Error("this group has ended");
}

bool IpcAllReduce::leave(Duration limit) {
  const cudaStream_t stream = backend_.stream();
  for (int r = 0; r < size_; ++r)
    cuda::check_cuda(cudaMemcpyAsync(&peers_.of[r]->flags.left[peers_.rank], &kLeft, sizeof(kLeft),
                                     cudaMemcpyDefault, stream),
                     "leaving the group");
  uint32_t left[cuda::kMostPeers] = {};
  IdleWait wait;
  do {
    wait.once();
    cuda::check_cuda(cudaMemcpyAsync(left, peers_.of[peers_.rank]->flags.left, sizeof(left),
                                     cudaMemcpyDeviceToHost, stream),
                     "asking who has left");
    cuda::check_cuda(cudaStreamSynchronize(stream), "asking who has left");
    if (std::count(std::begin(left), std::end(left), kLeft) == size_) return true;
  } while (wait.waited() < limit && std::atomic_ref(*ended_).load() == 0);
  return false;
}

void IpcAllReduce::end() noexcept {
  uint32_t open = 0;
  std::atomic_ref(*ended_).compare_exchange_strong(open, cuda::kEndedByHost);
}

}  // namespace uhd
