// How ranks reach each other's device memory: by the device's own transport where there is one, else by way
// of the host.
#pragma once

#include <memory>

#include "cluster/device_transport.h"

namespace uhd {

// The transport of a backend; null for host memory, and where the device has none here, which is logged.
std::shared_ptr<DeviceTransport> open_device_transport(Backend& backend);

// The same group with tensors of this backend. Collective over the group. Host memory: the group itself.
// Otherwise over the transport where every rank has one and a device of its own, else by way of the host,
// with a warning.
std::unique_ptr<Communicator> device_group(Backend& backend, DeviceTransport* transport,
                                           std::unique_ptr<Communicator> host, const ClusterOptions& options);

}  // namespace uhd
