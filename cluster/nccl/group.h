// The NCCL communicator of a group of ranks: calls on it are done when they return.
#pragma once

#include <future>
#include <string>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/nccl/api.h"

namespace uhd {

// A blocking communicator, because NCCL makes a thread for each call on any other. What may wait for peers,
// for the device or for recordings (meeting, leaving, aborting) runs on a thread of its own and is waited for
// with a limit, so that nothing holds the rank; what is late then is left to that thread.
//
// Used by one thread, whose current device is the communicator's. What goes wrong, here or at a peer, aborts
// the communicator and is thrown: work that waits for a lost peer ends, so that the device can be waited for
// and memory be freed. Afterwards every call throws the same. NCCL ends an abort only when no graph holds an
// operation of the communicator, so that recordings go before the group does.
class NcclGroup {
 public:
  // Returns when all ranks have come; Error when they have not within the limit.
  NcclGroup(const TransportId& id, int rank, int size, Duration limit);
  // Aborts unless it was left; waits for that some seconds at most.
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  // queue(communicator) is one call of NCCL that queues an operation.
  template <class Queue>
  void call(const Queue& queue) {
    const ncclResult_t result = queue(get());
    if (result != ncclSuccess) give_up(nccl_failure(result, comm_));
  }
  // Throws what NCCL has found out of its peers since.
  void look();
  // Aborts, and throws `reason`.
  [[noreturn]] void give_up(const std::string& reason);

  // Frees it together with all ranks, when nothing is queued; false: not within a few seconds.
  bool leave();

 private:
  ncclComm_t get() const;
  void abort();

  ncclComm_t comm_ = nullptr;
  bool left_ = false;
  std::string reason_;  // empty: it goes on
  std::future<ncclResult_t> aborting_;
};

}  // namespace uhd
