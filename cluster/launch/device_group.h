// Connects ranks to each other's device memory: by the device's own transport where there is one, else by way
// of the host.
#pragma once

#include <memory>

#include "cluster/device_transport.h"

namespace uhd {

// Returns the transport of a backend. It is null for host memory, and for a device that has none here, which
// is logged.
std::shared_ptr<DeviceTransport> open_device_transport(Backend& backend);

// Returns the same group for tensors of this backend. The call is collective over the group. For host memory
// it returns the group itself. Otherwise the result uses the transport if every rank has one and a device of
// its own; if not, it goes by way of the host, with a warning.
std::unique_ptr<Communicator> device_group(Backend& backend, DeviceTransport* transport,
                                           std::unique_ptr<Communicator> host, const ClusterOptions& options);

}  // namespace uhd
