// Gives the functions of NCCL that are used. The library is opened when the first group or link is made, so
// that the CUDA backend of one device needs none.
#pragma once

#include <nccl.h>

#include <cstdint>
#include <string>
#include <vector>

namespace uhd {

struct NcclApi {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) comm_init_rank_config;
  decltype(&ncclCommGetAsyncError) comm_get_async_error;
  decltype(&ncclCommFinalize) comm_finalize;
  decltype(&ncclCommDestroy) comm_destroy;
  decltype(&ncclCommAbort) comm_abort;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) recv;
  decltype(&ncclGetErrorString) get_error_string;
  decltype(&ncclGetLastError) get_last_error;
  std::string version;  // "2.28.9"
};

// Opens the library at the first call. Any thread may call it. A library that is absent, or older than
// non-blocking communicators (2.14), is an Error of one line.
const NcclApi& nccl();

// Returns the id that travelled as bytes. An Error says so if NCCL's ids have another length.
ncclUniqueId unique_id(const std::vector<uint8_t>& bytes);

// Returns NCCL's words for a result and for the communicator that it came from, which may be null: "NCCL:
// ...".
std::string nccl_failure(ncclResult_t result, ncclComm_t comm);

// Throws unless the call succeeded or goes on in the background.
void check_nccl(ncclResult_t result, const char* doing);

}  // namespace uhd
