// Puts the parts of the leader's loop together, from its LLM rank and what slices are encoded by.
#pragma once

#include <memory>

#include "cluster/encoders/control_server.h"
#include "cluster/options.h"
#include "engine/launch/llm_rank.h"
#include "engine/leader/frontend.h"

namespace uhd {

// Fills the parts after ranks, mailbox and plans are set. Encoder ranks report to `server`; where it is null
// the leader encodes itself.
void make_leader(LeaderParts& parts, const SharedFiles& files, const EngineOptions& options,
                 const ClusterOptions& cluster, LlmRank rank, std::unique_ptr<ControlServer> server);

}  // namespace uhd
