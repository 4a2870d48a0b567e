// An NcclPair does a link's work on its device: it holds a communicator of two ranks and the stream on which
// they move rows.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/nccl/handle.h"
#include "kernels/cuda/device_memory.h"

namespace uhd {

// Destruction waits for the queued work.
class LinkStream {
 public:
  LinkStream();
  ~LinkStream();
  LinkStream(const LinkStream&) = delete;
  LinkStream& operator=(const LinkStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// One thread uses the pair; the pair is on its current device. Its waits are looks, some 50 us apart: nothing
// here waits inside CUDA, and nothing on the device waits for anything but the other end, so an abort ends it
// whatever else the device is doing. A failure is an Error, and so is `ending`, which another thread may set
// to end a wait. Destruction aborts; nothing is touched once it returns.
class NcclPair {
 public:
  // Meets the other end and moves `warm`, because NCCL connects peers at the first use. Rank 0 receives.
  NcclPair(const TransportId& id, LinkEnd end, Tensor warm, Duration meet_limit,
           const std::atomic<bool>& ending);

  // Queues a transfer behind those before, with no more than kMostTransfers that have not ended. Everything
  // the rows wait for must be over: a stream that waited for it would hold an abort up for as long.
  void queue(Tensor rows);
  // Returns how many of the queued transfers are sent or have arrived.
  uint64_t ended();

 private:
  void until(const std::function<bool()>& holds) const;

  const LinkEnd end_;
  const Duration meet_limit_;
  const TimePoint began_ = Clock::now();
  const std::atomic<bool>& ending_;
  bool met_ = false;
  std::vector<cuda::Event> done_;  // the event of transfer i is at i modulo their number
  uint64_t queued_ = 0;
  uint64_t ended_ = 0;
  LinkStream stream_;
  NcclHandle comm_;  // is aborted first: the stream's work then ends by itself
};

}  // namespace uhd
