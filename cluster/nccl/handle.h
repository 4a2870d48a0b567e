// An NcclHandle is the non-blocking NCCL communicator of a link: it is made and asked without ever waiting
// for a peer.
#pragma once

#include "cluster/device_transport.h"
#include "cluster/nccl/api.h"

namespace uhd {

// One thread uses the handle; its current device is the communicator's. A failure, here or at a peer, aborts
// the communicator before it is thrown, and so does the destructor: work that waits for a lost peer ends, so
// that the device can be waited for and memory be freed. Afterwards every call throws the same.
class NcclHandle {
 public:
  // Begins to meet the other ranks. A transfer may occupy `most_blocks` thread blocks; 0 leaves that to NCCL.
  NcclHandle(const TransportId& id, int rank, int size, int most_blocks);
  ~NcclHandle();
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  // Returns true once the started work (meeting, or the queueing of an operation) is done. Until then no
  // other call may be made.
  bool settled();
  ncclComm_t get() const;
  // Aborts, and throws `reason`.
  [[noreturn]] void give_up(const std::string& reason);

 private:
  ncclComm_t comm_ = nullptr;
  std::string reason_ = "this communicator has ended";
};

}  // namespace uhd
