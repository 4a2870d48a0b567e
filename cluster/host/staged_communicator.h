// Runs collectives on device memory by way of the host, for ranks that share a device and for devices without
// a transport of their own.
#pragma once

#include <memory>

#include "cluster/communicator.h"
#include "kernels/backend.h"

namespace uhd {

// Every call copies to host memory, runs on `host` and copies back, which is right and slow. A group of one
// copies nothing but what all_gather must. The backend's thread uses it; the backend is borrowed.
std::unique_ptr<Communicator> make_staged_communicator(Backend& backend, std::unique_ptr<Communicator> host);

}  // namespace uhd
