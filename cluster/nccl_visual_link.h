// Rows from device to device over a communicator of two: one for each encoder, made at its Hello, gone with
// it.
#pragma once

#include <memory>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "kernels/cuda/backend.h"

namespace uhd {

// Rank 0 is the leader, which receives; rank 1 the encoder. Making a link calls nothing of CUDA or NCCL;
// poll() and begin() do, on the thread of their caller, and so does the destructor. While the link is
// connecting, the two meet and move one element, since NCCL connects peers at the first use.
//
// A stream of its own, of high priority, waits for what the backend's stream has queued when begin() is
// called; the backend's stream never waits for the link: only rows that have arrived are named to it. NCCL
// has no tags and checks no counts: the number of rows is agreed by message before, one transfer at a time.
//
// warm: one f32 of device memory, [1, 1], which all links of a backend may share. It is the caller's, because
// freeing memory waits for the whole device, and with it for the receives of other links.
std::unique_ptr<VisualLink> make_nccl_link(cuda::Backend& backend, Tensor warm, const TransportId& id,
                                           LinkEnd end, Duration meet_limit = std::chrono::seconds(30));

}  // namespace uhd
