// An NcclGroup is the NCCL communicator of a group of ranks; calls on it are done when they return.
#pragma once

#include <future>
#include <string>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/nccl/api.h"

namespace uhd {

// The communicator is blocking, because NCCL makes a thread for each call on any other kind. Work that may
// wait for peers, for the device or for recordings (meeting, leaving, aborting) runs on a thread of its own,
// which the caller waits for with a limit, so that nothing holds the rank; late work is left to that thread.
//
// One thread uses the group; its current device is the communicator's. A failure, here or at a peer, aborts
// the communicator and is thrown: work that waits for a lost peer ends, so that the device can be waited for
// and memory be freed. Afterwards every call throws the same. NCCL ends an abort only when no graph holds an
// operation of the communicator, so recordings must be destroyed before the group.
class NcclGroup {
 public:
  // Returns when all ranks have come. It is an Error if they have not within the limit.
  NcclGroup(const TransportId& id, int rank, int size, Duration limit);
  // Aborts unless the group was left, and waits at most some seconds for that.
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  // queue(communicator) is one call of NCCL that queues an operation.
  template <class Queue>
  void call(const Queue& queue) {
    const ncclResult_t result = queue(get());
    if (result != ncclSuccess) give_up(nccl_failure(result, comm_));
  }
  // Throws if NCCL has found an error of its peers since the last call.
  void look();
  // Aborts, and throws `reason`.
  [[noreturn]] void give_up(const std::string& reason);

  // Frees the communicator together with all ranks, when nothing is queued. Returns false if that did not end
  // within a few seconds.
  bool leave();

 private:
  ncclComm_t get() const;
  void abort();

  ncclComm_t comm_ = nullptr;
  bool left_ = false;
  std::string reason_;  // empty while the group works
  std::future<ncclResult_t> aborting_;
};

}  // namespace uhd
