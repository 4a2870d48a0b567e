#include "cluster/nccl/pair.h"

#include <thread>

#include "kernels/cuda/check.h"

namespace uhd {
namespace {

using cuda::check_cuda;

// Thread blocks that a transfer may take from the device's computing.
constexpr int kMostBlocks = 4;

// Returns true if the event's last record, if any, was reached.
bool reached(const cuda::Event& event) {
  const cudaError_t state = cudaEventQuery(event.get());
  if (state == cudaErrorNotReady) return false;
  check_cuda(state, "asking for a transfer");
  return true;
}

void pause() { std::this_thread::sleep_for(std::chrono::microseconds(50)); }

}  // namespace

LinkStream::LinkStream() {
  int least = 0, greatest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for stream priorities");
  check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), "creating a stream");
}

LinkStream::~LinkStream() {
  while (cudaStreamQuery(stream_) == cudaErrorNotReady) pause();
  cudaStreamDestroy(stream_);
}

NcclPair::NcclPair(const TransportId& id, LinkEnd end, Tensor warm, Duration meet_limit,
                   const std::atomic<bool>& ending)
    : end_(end),
      meet_limit_(meet_limit),
      ending_(ending),
      comm_(id, end == LinkEnd::receives ? 0 : 1, 2, kMostBlocks) {
  for (uint64_t i = 0; i < kMostTransfers; ++i) done_.push_back(cuda::make_event());
  until([&] { return comm_.settled(); });
  queue(warm);
  until([&] { return ended() == 1; });
  queued_ = ended_ = 0;
  met_ = true;
}

void NcclPair::queue(Tensor rows) {
  check_room(queued_ - ended_);
  const auto count = static_cast<size_t>(rows.elements());
  const ncclDataType_t type = rows.dtype() == DType::f32 ? ncclFloat32 : ncclBfloat16;
  check_nccl(end_ == LinkEnd::receives ? nccl().recv(rows.raw(), count, type, 1, comm_.get(), stream_.get())
                                       : nccl().send(rows.raw(), count, type, 0, comm_.get(), stream_.get()),
             "queueing rows");
  until([&] { return comm_.settled(); });  // queued, which may take the other end's doing the first time
  check_cuda(cudaEventRecord(done_[queued_ % kMostTransfers].get(), stream_.get()), "marking a transfer");
  ++queued_;
}

// The other end's loss is told by NCCL; the stream would wait for ever.
uint64_t NcclPair::ended() {
  if (!comm_.settled()) return ended_;
  while (ended_ < queued_ && reached(done_[ended_ % kMostTransfers])) ++ended_;
  return ended_;
}

void NcclPair::until(const std::function<bool()>& holds) const {
  while (!holds()) {
    require(!ending_, "the link was ended by its owner");
    require(met_ || Clock::now() - began_ < meet_limit_, "the other end of a link did not come within ",
            seconds(meet_limit_), " s");
    pause();
  }
}

}  // namespace uhd
