// Collectives over NCCL, on device memory, in the order of the backend's stream.
#pragma once

#include <memory>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/nccl/ipc_all_reduce.h"
#include "kernels/cuda/backend.h"

namespace uhd {

struct NcclLimits {
  Duration meet = std::chrono::seconds(120);  // until all ranks of a group have come
  Duration wait = std::chrono::seconds(120);  // of one wait for the device
};

// Collective: returns when all ranks have come. Calls queue and return; a peer that is lost shows as an Error
// of the next call, or of the backend's next wait, which looks for NCCL's errors while it waits. NCCL tells
// of errors of the network; nothing tells of a rank that is gone between devices that reach each other's
// memory, so that a wait longer than the limit ends as if it were lost. Sums of f32 and bf16 have the same
// bits on all ranks. They are NCCL's, in an order of its own, but for small ones where `ipc` asks for it and
// ranks reach each other's memory: on, wherever they fit, and an Error where they do not reach it; auto, up
// to the size to which that measures faster. What was chosen is logged by rank 0. barrier() waits for the
// device.
//
// The backend is borrowed and must outlive the group; its stream may be captured, group calls included, once
// each kind of call has been made before. Recordings with group calls go before the group.
std::unique_ptr<Communicator> make_nccl_communicator(cuda::Backend& backend, const TransportId& id, int rank,
                                                     int size, NcclLimits limits = {},
                                                     const IpcOptions& ipc = {});

}  // namespace uhd
