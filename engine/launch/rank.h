// One rank put together from the checkpoint and the options: the same pieces whether ranks are processes or
// threads.
#pragma once

#include <memory>

#include "cluster/device_transport.h"
#include "cluster/encoders/control_client.h"
#include "cluster/encoders/control_server.h"
#include "cluster/options.h"
#include "engine/launch/model_files.h"
#include "engine/leader/frontend.h"
#include "engine/slices/encoder_worker.h"
#include "model/vision/vision_encoder.h"

namespace uhd {

using SharedFiles = std::shared_ptr<const ModelFiles>;

// One rank's backend and what reaches other ranks from its memory.
struct RankDevice {
  std::unique_ptr<Backend> backend;
  std::shared_ptr<DeviceTransport> transport;  // null where the backend has none
};
RankDevice open_device(const ModelFiles& files, const EngineOptions& options);

// Loads this rank's shard and sizes its memory: the pages come last, and the log tells what all of it is for.
// Collective over the group, which is of host memory: all ranks compare their settings (llm_facts), and agree
// on how they reach each other's device memory and on the number of pages. `encodes`: the vision tower is
// this rank's too.
struct LlmRank {
  RankDevice device;
  std::unique_ptr<Communicator> group;  // of the backend's memory
  std::unique_ptr<LlmWorker> worker;
  EncodeSlices encode;                  // empty: this rank does not encode
  std::unique_ptr<RowBuffers> buffers;  // of a leader with vision
};
LlmRank make_llm_rank(const ModelFiles& files, const EngineOptions& options, const ClusterOptions& cluster,
                      RankDevice device, std::unique_ptr<Communicator> host_group, bool encodes);

// The whole life of an LLM rank that is not the leader, once it is made. on_overdue(step), on a thread of its
// own: the step did not end in time, and nothing can save it.
void follow_leader(LlmRank& rank, PlanChannel& plans, const EngineOptions& options,
                   const ClusterOptions& cluster, const std::function<void(uint64_t step)>& on_overdue);

// The vision tower behind the function that encoders call. `rows_of` gives the rows that a slice becomes.
struct SliceEncoder {
  EncodeSlices encode;
  std::function<int(const Slice&)> rows_of;
};
SliceEncoder make_slice_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend);

// Everything of the leader but the ranks behind it: fills the parts after ranks, mailbox and plans are set.
// `server`: where encoder ranks report; null: the leader encodes itself.
void make_leader(LeaderParts& parts, const SharedFiles& files, const EngineOptions& options,
                 const ClusterOptions& cluster, LlmRank rank, std::unique_ptr<ControlServer> server);

// What an encoder says of itself when it joins.
Hello encoder_hello(const ModelFiles& files, const EngineOptions& options, const Backend& backend);

// The whole life of an encoder rank, until `ended` says that it has an end.
void run_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend,
                 ControlClient& leader, const std::function<bool()>& ended);

}  // namespace uhd
