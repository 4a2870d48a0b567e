// One encoder rank put together from the checkpoint and the options: the same pieces whether ranks are
// processes or threads.
#pragma once

#include <functional>

#include "cluster/encoders/control_client.h"
#include "engine/launch/rank_device.h"

namespace uhd {

// Returns what an encoder says of itself when it joins.
Hello encoder_hello(const ModelFiles& files, const EngineOptions& options, const Backend& backend);

// Lives the whole life of an encoder rank, until `ended` says that it has an end.
void run_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend,
                 ControlClient& leader, const std::function<bool()>& ended);

}  // namespace uhd
