// Runs collectives over NCCL, on device memory, in the order of the backend's stream.
#pragma once

#include <memory>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/nccl/ipc_all_reduce.h"
#include "kernels/cuda/backend.h"

namespace uhd {

struct NcclLimits {
  Duration meet = std::chrono::seconds(120);  // the limit until all ranks of a group have come
  Duration wait = std::chrono::seconds(120);  // the limit of one wait on the device
};

// Makes a group. The call is collective and returns when all ranks have come. Calls on the group queue work
// and return. A lost peer shows as an Error of the next call, or of the backend's next wait, which looks for
// NCCL's errors while it waits. NCCL reports errors of the network; nothing reports a rank that is gone
// between devices that reach each other's memory, so a wait longer than the limit ends as if the peer were
// lost.
//
// Sums of f32 and bf16 have the same bits on all ranks. NCCL computes them in an order of its own, except
// small ones where `ipc` asks for it and ranks reach each other's memory. "on" uses IPC wherever a sum fits,
// and is an Error if ranks do not reach each other's memory; "auto" uses it up to the size to which it
// measures faster. Rank 0 logs the choice. barrier() waits for the device.
//
// The backend is borrowed and must outlive the group. Its stream may be captured, group calls included, once
// each kind of call has been made before. Recordings with group calls must be destroyed before the group.
std::unique_ptr<Communicator> make_nccl_communicator(cuda::Backend& backend, const TransportId& id, int rank,
                                                     int size, NcclLimits limits = {},
                                                     const IpcOptions& ipc = {});

}  // namespace uhd
