// A test's look at the calls of NCCL's stand-in. It lies beside the stand-in for CUDA, which tests and the
// plugin share.
#pragma once

#include <functional>
#include <string_view>

namespace uhd::emulation {

// Called on the thread that calls, before a call on a communicator does anything; it may hold the call up.
// Empty: nobody looks. Returns while looks of before may still be under way.
using NcclWatch = std::function<void(std::string_view call)>;
void watch_nccl(NcclWatch watch);

// For the stand-in.
void nccl_called(std::string_view call);

}  // namespace uhd::emulation
