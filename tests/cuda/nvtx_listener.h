// A tool that listens to NVTX, as a profiler does: a library that the first range of a process loads when
// NVTX_INJECTION64_PATH names it.
#pragma once

#include <string>
#include <vector>

namespace uhd {

// Begun ranges by their names, ended ones as "/", in order over all threads.
using HeardRanges = std::vector<std::string> (*)();

}  // namespace uhd

// What the library exports: what was heard since the last call.
extern "C" const uhd::HeardRanges uhd_heard_ranges;
