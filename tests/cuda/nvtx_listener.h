// Listens to NVTX as a profiler does: the first range of a process loads this library when
// NVTX_INJECTION64_PATH names it.
#pragma once

#include <string>
#include <vector>

namespace uhd {

// Begun ranges are there by their names, ended ones as "/", in order over all threads.
using HeardRanges = std::vector<std::string> (*)();

}  // namespace uhd

// The library exports this: it returns the ranges heard since the last call.
extern "C" const uhd::HeardRanges uhd_heard_ranges;
