// What the ranks of a device backend talk over without the host: NCCL, which comes with the CUDA plugin.
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

// Names a group or a link that its members are about to form; made by one of them, told to the others.
using TransportId = std::vector<uint8_t>;

// Of one backend; used by its thread except where said. Groups and links must not outlive it.
class DeviceTransport {
 public:
  virtual ~DeviceTransport() = default;
  virtual std::string version() const = 0;
  // Names the physical device, whatever its number in this process: two ranks with equal names share one, and
  // cannot be in one group. From any thread.
  virtual std::string device() const = 0;
  // From any thread. An Error where too many were never met under.
  virtual TransportId new_id() = 0;
  // Collective over the group; returns when all have come. Late or lost ranks are an Error.
  virtual std::unique_ptr<Communicator> communicator(const TransportId& id, int rank, int size,
                                                     const ClusterOptions& options) = 0;
  // The leader's end and the encoder's, not begun. From any thread; the link is its poller's afterwards.
  virtual std::unique_ptr<VisualLink> receiver(const TransportId& id) = 0;
  virtual std::unique_ptr<VisualLink> sender(const TransportId& id) = 0;
};

}  // namespace uhd
