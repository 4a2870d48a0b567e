// Lets a test observe the calls of NCCL's stand-in. This file lies beside the stand-in for CUDA, which tests
// and the plugin share.
#pragma once

#include <functional>
#include <string_view>

namespace uhd::emulation {

// The watch is called on the calling thread, before a call on a communicator does anything; it may hold the
// call up. An empty one observes nothing. Setting returns while earlier watches may still be under way.
using NcclWatch = std::function<void(std::string_view call)>;
void watch_nccl(NcclWatch watch);

// Says whether NCCL reports a rank that is gone. Between hosts a proxy's socket does so (true). Over NVLink
// nothing does: work that waits for the rank waits until it is aborted (false, the initial value).
void set_nccl_tells_of_the_lost(bool told);

// NcclHoldings are the things that the library holds in this process.
struct NcclHoldings {
  int communicators = 0;  // made, and neither freed nor aborted
  int ids = 0;            // ids whose ranks did not all come: a thread and a socket each
  int threads = 0;        // made so far by calls on non-blocking communicators
};
NcclHoldings nccl_holdings();

// The stand-in calls this.
void nccl_called(std::string_view call);
bool nccl_tells_of_the_lost();
void nccl_holds(const NcclHoldings& more);

}  // namespace uhd::emulation
