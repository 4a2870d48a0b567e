// Collectives on device memory by way of the host: for ranks that share a device, and where the device has no
// transport of its own.
#pragma once

#include <memory>

#include "cluster/communicator.h"
#include "kernels/backend.h"

namespace uhd {

// Every call copies to host memory, runs on `host`, and copies back: right, and slow. A group of one copies
// nothing but what all_gather must. Used by the backend's thread; the backend is borrowed.
std::unique_ptr<Communicator> make_staged_communicator(Backend& backend, std::unique_ptr<Communicator> host);

}  // namespace uhd
