// One LLM rank put together from the checkpoint and the options: the same pieces whether ranks are processes
// or threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "cluster/options.h"
#include "cluster/timed_communicator.h"
#include "engine/launch/rank_device.h"
#include "engine/launch/slice_encoder.h"
#include "engine/llm/llm_worker.h"

namespace uhd {

struct LlmRank {
  RankDevice device;
  std::shared_ptr<CollectiveTime> collectives;  // null where nothing measures it
  std::unique_ptr<Communicator> group;          // collectives on the backend's memory
  std::unique_ptr<LlmWorker> worker;
  SliceEncoder slices;                  // empty: this rank does not encode
  std::unique_ptr<RowBuffers> buffers;  // null unless this rank leads and the model sees images
};

// Loads this rank's shard and sizes its memory: the pages come last, and the log tells what all of it is for.
// Collective over the group, which is of host memory: all ranks compare their settings (llm_facts), and agree
// on how they reach each other's device memory and on the number of pages. Where the rank `encodes`, the
// vision tower is loaded too, and warm.
LlmRank make_llm_rank(const ModelFiles& files, const EngineOptions& options, const ClusterOptions& cluster,
                      RankDevice device, std::unique_ptr<Communicator> host_group, bool encodes);

// Lives the whole life of an LLM rank that is not the leader, once it is made. Calls on_overdue(step) on a
// thread of its own when a step did not end in time, for nothing can save it.
void follow_leader(LlmRank& rank, PlanChannel& plans, const EngineOptions& options,
                   const ClusterOptions& cluster, const std::function<void(uint64_t step)>& on_overdue);

}  // namespace uhd
