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

// Whether a rank that is gone is told of. Between hosts a proxy's socket says so (true); over NVLink nothing
// does, and what waits for the rank waits until it is aborted (false, as it is at first).
void set_nccl_tells_of_the_lost(bool told);

// What the library holds in this process.
struct NcclHoldings {
  int communicators = 0;  // made, and neither freed nor aborted
  int ids = 0;            // whose ranks did not all come: a thread and a socket each
  int threads = 0;        // made so far by calls on non-blocking communicators
};
NcclHoldings nccl_holdings();

// For the stand-in.
void nccl_called(std::string_view call);
bool nccl_tells_of_the_lost();
void nccl_holds(const NcclHoldings& more);

}  // namespace uhd::emulation
