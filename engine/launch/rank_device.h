// The backend of one rank, and how other ranks reach its memory.
#pragma once

#include <memory>

#include "cluster/device_transport.h"
#include "engine/launch/model_files.h"

namespace uhd {

struct RankDevice {
  std::unique_ptr<Backend> backend;
  std::shared_ptr<DeviceTransport> transport;  // null where the backend has none
};

RankDevice open_device(const ModelFiles& files, const EngineOptions& options);

}  // namespace uhd
