// A leader is made of these parts.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/device_transport.h"
#include "cluster/encoders/control_server.h"
#include "cluster/plan_channel.h"
#include "cluster/timed_communicator.h"
#include "engine/engine.h"
#include "engine/leader/grammars.h"
#include "engine/leader/intake.h"
#include "engine/leader/mailbox.h"
#include "engine/leader/tracer.h"
#include "engine/llm/llm_worker.h"
#include "engine/metrics.h"
#include "engine/slices/visual_flow.h"

namespace uhd {

// Members are released from the last to the first.
struct LeaderParts {
  std::shared_ptr<void> ranks;  // followers and encoders that are threads of this process
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  EngineOptions options;
  double step_deadline_s = 120;
  ModelConfig config;
  ModelInfo info;
  std::string identity;  // names checkpoint and preprocessing: part of every cache key
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Intake> intake;
  std::unique_ptr<Grammars> grammars;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Tracer> tracer;  // null: no request is traced
  std::unique_ptr<Backend> backend;
  std::shared_ptr<DeviceTransport> transport;   // null where the backend has none
  std::shared_ptr<CollectiveTime> collectives;  // null where nothing measures it
  std::unique_ptr<Communicator> group;          // collectives on the backend's memory
  std::unique_ptr<PlanChannel> plans;
  std::unique_ptr<LlmWorker> worker;
  WorkerSizes sizes;
  std::unique_ptr<ControlServer> server;  // null without encoder ranks
  std::unique_ptr<RowBuffers> buffers;    // these three are null without vision
  std::unique_ptr<SliceEncoders> encoders;
  std::unique_ptr<VisualFlow> visual;
  std::function<void()> on_lost;  // runs after the streams were ended because ranks are lost; may be empty
};

}  // namespace uhd
