// The Engine itself, for each way of launching the ranks.
#pragma once

#include <functional>
#include <memory>

#include "cluster/options.h"
#include "engine/engine.h"
#include "engine/options.h"

namespace uhd {

class World;

// Every rank as threads of this process: cluster.tensor_parallel LLM ranks and cluster.encoder_count encoder
// ranks. Returns when the model is loaded and the ranks have answered a step; what cannot start is an Error.
// The destructor ends running requests (cancelled) and joins every thread.
std::unique_ptr<Engine> make_engine(const EngineOptions& options, const ClusterOptions& cluster);

// The part of this rank in a launch of any size (one process included). On the leader: starts the engine,
// calls serve(engine) on this thread, and ends all ranks when it returns. On other ranks: works until the
// leader ends, without calling serve. A lost rank or a step past its deadline first ends every stream with an
// error event, then is an Error here (or, when a rank hangs, the end of the job).
void run_rank(World& world, const EngineOptions& options, const ClusterOptions& cluster,
              const std::function<void(Engine&)>& serve);

}  // namespace uhd
