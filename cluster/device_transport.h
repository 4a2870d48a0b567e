// A DeviceTransport lets the ranks of a device backend talk without the host: it is NCCL, which comes with
// the CUDA plugin.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"
#include "cluster/options.h"
#include "cluster/visual_link.h"
#include "kernels/backend.h"

namespace uhd {

// A TransportId names a group or a link that its members are about to form. One of them makes it and tells
// the others.
using TransportId = std::vector<uint8_t>;

// A transport belongs to one backend and is used by its thread, except where a function says otherwise.
// Groups and links must not outlive it.
class DeviceTransport {
 public:
  virtual ~DeviceTransport() = default;
  virtual std::string version() const = 0;
  // Returns the name of the physical device, whatever its number in this process: two ranks with equal names
  // share a device, and cannot be in one group. Any thread may call it.
  virtual std::string device() const = 0;
  // Makes a new id. Any thread may call it. It is an Error to make too many ids that no members ever met
  // under.
  virtual TransportId new_id() = 0;
  // Makes a group. The call is collective over the group and returns when all ranks have come; ranks that are
  // late or lost are an Error.
  virtual std::unique_ptr<Communicator> communicator(const TransportId& id, int rank, int size,
                                                     const ClusterOptions& options) = 0;
  // receiver returns the leader's end of a link and sender the encoder's, neither begun yet. Any thread may
  // call them; afterwards the link belongs to the thread that polls it.
  virtual std::unique_ptr<VisualLink> receiver(const TransportId& id) = 0;
  virtual std::unique_ptr<VisualLink> sender(const TransportId& id) = 0;
};

}  // namespace uhd
