// NCCL on the host: the calls that cluster/ uses, between processes and threads of one machine, over sockets.
// It is strict where the library is (its source was read at 2.28.9), and where the library would hang or
// compute nonsense: every call on a non-blocking communicator is carried out by a thread made for it, says
// that it is in progress and must be asked about before the next; one on a blocking communicator is done when
// it returns; operations run late, in their stream's order; kinds, counts, types and roots must be equal on
// both sides; work that waits for a rank that is gone stays unfinished until it is aborted, and by default
// nothing tells of that rank. To free a communicator waits for the graphs that hold its operations. One whose
// making failed stays to be aborted. Two ranks on one device are refused.
//
// An operation is an exchange with every other rank of it: a header each way, and the data. Sums are in rank
// order, in f32, rounded once.
#include <nccl.h>

#include <cstring>
#include <mutex>

#include "emulation/nccl_mesh.h"
#include "emulation/nccl_watch.h"
#include "emulation/streams.h"

namespace uhd::emulation {
namespace {

thread_local std::string last_error;

ncclResult_t refuse(ncclResult_t code, const std::string& why) {
  last_error = why;
  return code;
}

// Checks that every call makes: the last one must have settled.
ncclResult_t ready(NcclRank* rank) {
  if (rank == nullptr) return refuse(ncclInvalidArgument, "no communicator");
  return rank->ready() ? ncclSuccess
                       : refuse(ncclInvalidUsage, "the call before has not settled: " + rank->error());
}

ncclResult_t queue(NcclRank* rank, NcclCall call, size_t send_bytes, size_t receive_bytes,
                   cudaStream_t stream) {
  if (const auto status = ready(rank); status != ncclSuccess) return status;
  if (size_of_type(call.type) == 0) return refuse(ncclInvalidArgument, "a type that is not used here");
  const bool readable = call.from == nullptr || in_device_memory(call.from, send_bytes);
  const bool writable = call.to == nullptr || in_device_memory(call.to, receive_bytes);
  if (!readable || !writable) return refuse(ncclInvalidArgument, "memory that is not one device buffer");
  return rank->queue(call, stream);
}

NcclRank* rank_of(ncclComm_t comm) { return reinterpret_cast<NcclRank*>(comm); }

}  // namespace
}  // namespace uhd::emulation

using namespace uhd::emulation;

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION(NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH);
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    case ncclSystemError:
      return "unhandled system error";
    default:
      return "internal error";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  static thread_local std::string text;
  text = comm == nullptr ? last_error : rank_of(comm)->error();
  return text.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (id == nullptr) return ncclInvalidArgument;
  std::memset(id, 0, sizeof(*id));
  return NcclRank::make_id(*id) ? ncclSuccess : refuse(ncclSystemError, "no socket for an id");
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  nccl_called(__func__);
  if (comm == nullptr || size < 1 || rank < 0 || rank >= size) {
    return refuse(ncclInvalidArgument, "a rank outside of its communicator");
  }
  if (config == nullptr || config->size != sizeof(ncclConfig_t) || config->magic != 0xcafebeef) {
    return refuse(ncclInvalidArgument, "a configuration that was not initialised");
  }
  const bool blocking = config->blocking != 0;
  auto* const made = new NcclRank(id, rank, size, blocking);
  *comm = reinterpret_cast<ncclComm_t>(made);
  return blocking ? made->wait_met() : ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  nccl_called(__func__);
  if (comm == nullptr || state == nullptr) return ncclInvalidArgument;
  *state = rank_of(comm)->ask();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  nccl_called(__func__);
  if (const auto status = ready(rank_of(comm)); status != ncclSuccess) return status;
  rank_of(comm)->finalize();
  return rank_of(comm)->blocking() ? rank_of(comm)->wait_finalized() : ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  nccl_called(__func__);
  if (const auto status = ready(rank_of(comm)); status != ncclSuccess) return status;
  if (!rank_of(comm)->finalized())
    return refuse(ncclInvalidUsage, "a communicator is finalized before it is freed");
  delete rank_of(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  nccl_called(__func__);
  if (comm == nullptr) return ncclInvalidArgument;
  delete rank_of(comm);
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  nccl_called(__func__);
  if (op != ncclSum || (type != ncclFloat32 && type != ncclBfloat16)) {
    return refuse(ncclInvalidArgument, "sums of f32 and bf16 only");
  }
  const size_t bytes = count * size_of_type(type);
  return queue(rank_of(comm), {NcclKind::all_reduce, type, count, -1, from, to}, bytes, bytes, stream);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  nccl_called(__func__);
  const size_t bytes = count * size_of_type(type);
  const auto ranks = comm == nullptr ? size_t{0} : static_cast<size_t>(rank_of(comm)->size());
  return queue(rank_of(comm), {NcclKind::all_gather, type, count, -1, from, to}, bytes, bytes * ranks,
               stream);
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  nccl_called(__func__);
  const size_t bytes = count * size_of_type(type);
  return queue(rank_of(comm), {NcclKind::broadcast, type, count, root, from, to}, bytes, bytes, stream);
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  nccl_called(__func__);
  return queue(rank_of(comm), {NcclKind::send, type, count, peer, from, nullptr}, count * size_of_type(type),
               0, stream);
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  nccl_called(__func__);
  return queue(rank_of(comm), {NcclKind::receive, type, count, peer, nullptr, to}, 0,
               count * size_of_type(type), stream);
}

}  // extern "C"
