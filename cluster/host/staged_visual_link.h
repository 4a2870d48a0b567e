// A link of host memory for rows in device memory.
#pragma once

#include <memory>

#include "cluster/visual_link.h"
#include "kernels/backend.h"

namespace uhd {

// The link itself where it reaches the backend's memory; else one that copies the rows, `most_bytes` at most,
// to host memory before they are sent, beside whatever the backend is doing, or from it once they are there,
// in the backend's order. Used by the backend's thread; the backend is borrowed.
std::unique_ptr<VisualLink> link_for(Backend& backend, std::unique_ptr<VisualLink> link, LinkEnd end,
                                     size_t most_bytes);

}  // namespace uhd
