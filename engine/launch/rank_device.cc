#include "engine/launch/rank_device.h"

#include "cluster/launch/device_group.h"

namespace uhd {

RankDevice open_device(const ModelFiles& files, const EngineOptions& options) {
  RankDevice device;
  device.backend = make_rank_backend(files, options);
  device.transport = open_device_transport(*device.backend);
  return device;
}

}  // namespace uhd
