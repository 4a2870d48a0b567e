// The CUDA plugin exports this for cluster/, beside its backend (kernels/plugin.h).
#pragma once

#include <memory>

#include "cluster/device_transport.h"

namespace uhd {

struct NcclPlugin {
  const char* interface;  // UHD_TRANSPORT_INTERFACE: the digest of the headers that both sides share
  // Opens the transport. `backend` is the plugin's own. NCCL that is missing or too old is an Error.
  std::shared_ptr<DeviceTransport> (*open)(Backend& backend);
};

}  // namespace uhd
