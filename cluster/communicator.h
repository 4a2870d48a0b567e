// A Communicator runs ordered collectives among a fixed group of ranks, on that group's device memory.
#pragma once

#include "kernels/tensor.h"

namespace uhd {

// Every rank of the group makes the same calls in the same order. Tensors are dense; their types are f32,
// bf16, i32 and u8 where named. Calls complete in the order of the backend's stream; on the CPU they return
// when done. A lost peer is an Error.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Sums x in place over all ranks: f32 or bf16 (sums are in f32, rounded once per step). All ranks hold
  // equal bits after it.
  virtual void all_reduce(Tensor x) = 0;
  // Fills out [size, ...] with every rank's x, in rank order.
  virtual void all_gather(Tensor out, Tensor x) = 0;
  virtual void broadcast(Tensor x, int root) = 0;
  virtual void send(Tensor x, int peer) = 0;
  virtual void receive(Tensor x, int peer) = 0;
  virtual void barrier() = 0;
  // Returns true if calls other than barrier may be part of Backend::record; the answer is the same on every
  // rank. A group of one queues nothing when it sums.
  virtual bool recordable() const { return size() == 1; }
};

}  // namespace uhd
