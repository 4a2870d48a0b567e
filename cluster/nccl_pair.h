// What a link does on its device: a communicator of two ranks and the stream on which they move rows.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <functional>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/nccl_comm.h"
#include "kernels/cuda/device_memory.h"

namespace uhd {

// Destruction waits for what is queued.
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

// Used by one thread, whose current device it is on. Its waits are looks, some 50 us apart: nothing here
// waits inside CUDA, and nothing on the device waits for anything but the other end, so that an abort ends it
// whatever else the device is doing. What goes wrong is an Error, and so is `ended`, which another thread may
// set to end a wait. Destruction aborts; nothing is touched once it returns.
class NcclPair {
 public:
  // Meets the other end and moves `warm`, since NCCL connects peers at the first use. Rank 0 receives.
  NcclPair(const TransportId& id, LinkEnd end, Tensor warm, Duration meet_limit,
           const std::atomic<bool>& ended);

  // Recorded by another thread before a move, which does not begin before it is reached.
  cudaEvent_t ready() const { return ready_.get(); }
  // Returns when the rows are sent or have arrived.
  void move(Tensor rows);

 private:
  void until(const std::function<bool()>& holds) const;

  const LinkEnd end_;
  const Duration meet_limit_;
  const TimePoint began_ = Clock::now();
  const std::atomic<bool>& ended_;
  bool met_ = false;
  const cuda::Event ready_ = cuda::make_event();
  const cuda::Event done_ = cuda::make_event();
  LinkStream stream_;
  NcclComm comm_;  // aborted first: what the stream holds then ends by itself
};

}  // namespace uhd
