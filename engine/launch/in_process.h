// All ranks as threads of one process.
#pragma once

#include <functional>
#include <memory>

#include "engine/launch/launch.h"

namespace uhd {

// The encoders of such an engine; tests end one to see what happens. Must not be used after the engine.
class EncoderThreads {
 public:
  virtual ~EncoderThreads() = default;
  virtual int count() const = 0;
  // Its connection is closed wherever it is; returns when its thread has ended.
  virtual void end(int encoder) = 0;
};

struct InProcessEngine {
  std::unique_ptr<Engine> engine;
  std::shared_ptr<EncoderThreads> encoders;  // null without any
};
// `on_lost` becomes LeaderParts::on_lost.
InProcessEngine start_in_process(const EngineOptions& options, const ClusterOptions& cluster,
                                 std::function<void()> on_lost = {});

}  // namespace uhd
