// Moves rows from device to device over a communicator of two ranks. Each encoder has one, which is made at
// its Hello and gone with it.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "kernels/cuda/backend.h"

namespace uhd {

// Rank 0 is the leader, which receives; rank 1 is the encoder. While the link is connecting, the two meet and
// move one element, because NCCL connects peers at the first use.
//
// Each link has a thread of its own, which the first poll() starts and which alone calls NCCL for it: making,
// asking and aborting a communicator may take as long as NCCL likes, and neither the owner nor other links
// wait for it. Nothing else here calls CUDA or NCCL: begin(), poll() and abort() only look and tell.
// Transfers are queued on a stream of high priority, many at once, each when its own rows are there. The
// backend's stream never waits for the link, nor a transfer for that stream. NCCL has no tags and checks no
// counts: messages agree on the number of rows and their order before.
//
// The link's thread calls on_met, which may be empty, once the two have met.
//
// warm is one f32 of device memory, [1, 1], which all links of a backend may share. The caller owns it,
// because freeing memory waits for the whole device, and with it for the receives of other links.
std::unique_ptr<VisualLink> make_nccl_link(cuda::Backend& backend, Tensor warm, const TransportId& id,
                                           LinkEnd end, Duration meet_limit = std::chrono::seconds(30),
                                           std::function<void()> on_met = {});

}  // namespace uhd
