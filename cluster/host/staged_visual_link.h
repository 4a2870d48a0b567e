// Adapts a link of host memory to rows in device memory.
#pragma once

#include <memory>

#include "cluster/visual_link.h"
#include "kernels/backend.h"

namespace uhd {

// Returns the link itself if it reaches the backend's memory. Otherwise returns one that stages the rows, at
// most `most_bytes`, in host memory: a sender copies them there before they are sent, beside whatever the
// backend is doing; a receiver copies them from there once they have come, in the backend's order. The
// backend's thread uses it; the backend is borrowed.
std::unique_ptr<VisualLink> link_for(Backend& backend, std::unique_ptr<VisualLink> link, LinkEnd end,
                                     size_t most_bytes);

}  // namespace uhd
