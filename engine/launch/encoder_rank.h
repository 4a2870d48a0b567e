// One encoder rank put together from the checkpoint and the options: the same pieces whether ranks are
// processes or threads.
#pragma once

#include <functional>
#include <memory>

#include "cluster/encoders/control_client.h"
#include "engine/launch/rank_device.h"
#include "engine/launch/slice_encoder.h"

namespace uhd {

// Returns what an encoder says of itself when it joins.
Hello encoder_hello(const ModelFiles& files, const EngineOptions& options, const Backend& backend);

struct EncoderRank {
  SliceEncoder slices;
  std::unique_ptr<RowBuffers> buffers;
};

// Loads the tower, sizes the rank's memory, and on a device warms the tower up: all that comes before the
// leader may know of this encoder. The backend is borrowed.
EncoderRank make_encoder_rank(const ModelFiles& files, const EngineOptions& options, Backend& backend);

// Lives the whole life of an encoder rank, until `ended` says that it has an end.
void run_encoder(EncoderRank& rank, const ModelFiles& files, const EngineOptions& options,
                 ControlClient& leader, const std::function<bool()>& ended);

}  // namespace uhd
