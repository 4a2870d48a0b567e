// The Engine itself: the leader's loop, with the threads and ranks behind it.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "engine/options.h"

namespace uhd {

// Everything in this process: options.tensor_parallel LLM ranks and options.encoders.count encoder ranks as
// threads. Returns when the model is loaded and the ranks have answered; what cannot start is an Error. The
// destructor ends running requests (cancelled) and joins every thread.
std::unique_ptr<Engine> make_engine(const EngineOptions& options);

}  // namespace uhd
