// Sums small tensors over the ranks of one host by kernels of our own (kernels/cuda/peer_sum.h), through
// buffers that ranks open of each other. It replaces NCCL where it is asked for, works, and is faster.
//
// The cost of a small sum is the number of crossings of the link that follow one another. With n ranks, L for
// a crossing, B bytes and a link of speed s, a ring takes at best 2 (n − 1) L + 2 (n − 1) / n B / s, one-shot
// L + (n − 1) B / s, and two-shot 2 L + 2 (n − 1) / n B / s. A decode step of a 7B on two ranks has 65 such
// sums.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "cluster/nccl/peer_memory.h"
#include "kernels/cuda/peer_sum.h"

namespace uhd {

struct IpcOptions {
  std::string mode = "off";                    // off, on or auto: ClusterOptions::ipc_all_reduce
  Duration limit = std::chrono::seconds(120);  // the limit of one wait for a peer, on the device
};

// Calls queue on the backend's stream, and may be recorded. A peer that does not come within the limit ends
// the group: kernels stop waiting, sums are worth nothing, and look() throws.
class IpcAllReduce {
 public:
  // The constructor is collective over the group and returns when every rank has tried to reach the others'
  // buffers.
  IpcAllReduce(cuda::Backend& backend, int rank, int size, Duration limit, const Exchange& exchange);
  // Ends the group here and waits for the device: nothing queued on it may wait for a lost rank by then. It
  // frees no memory, because that would wait for the process's other devices too, and they perhaps for this
  // rank.
  ~IpcAllReduce();
  IpcAllReduce(const IpcAllReduce&) = delete;
  IpcAllReduce& operator=(const IpcAllReduce&) = delete;

  // Returns why sums are impossible here, or "" if they work. The answer is the same on every rank.
  const std::string& obstacle() const { return memory_->obstacle(); }
  // Sums at most cuda::kMostSummedBytes of f32 or bf16, in rank order, in f32, rounded once.
  void sum(Tensor x);
  // Throws an Error that names the rank that did not come. Call it while the host waits for the device, and
  // once after that.
  void look() const;
  // Makes kernels stop waiting, those under way too.
  void end() noexcept;
  // Tells the others that this rank reads their buffers no more, and waits at most `limit` until all have
  // told it. Returns false if one has not, or if the group has ended. Call it when nothing is queued here.
  // Nothing stays queued meanwhile, so that ranks of one process may free memory, which waits for all
  // devices.
  bool leave(Duration limit);

 private:
  cuda::Backend& backend_;
  const int size_;
  uint32_t* ended_ = nullptr;  // pinned, and kept as PeerMemory keeps its buffer
  std::unique_ptr<PeerMemory> memory_;
  cuda::Peers peers_{};
};

}  // namespace uhd
