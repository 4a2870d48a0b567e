#include "cluster/nccl/api.h"

#include <dlfcn.h>

#include <cstring>

#include "base/error.h"

namespace uhd {
namespace {

constexpr int kOldest = 21400;

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  require(function != nullptr, "NCCL has no function ", name);
}

std::string words(int version) {
  return message(version / 10000, '.', version / 100 % 100, '.', version % 100);
}

NcclApi open_nccl() {
  void* library = dlopen(UHD_NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  require(library != nullptr, "NCCL cannot be loaded: ", library == nullptr ? dlerror() : "");
  NcclApi api{};
  find(library, "ncclGetVersion", api.get_version);
  find(library, "ncclGetErrorString", api.get_error_string);
  int version = 0;
  require(api.get_version(&version) == ncclSuccess && version >= kOldest, "NCCL ", words(version),
          " is too old; 2.14 is needed");
  api.version = words(version);
  find(library, "ncclGetUniqueId", api.get_unique_id);
  find(library, "ncclCommInitRankConfig", api.comm_init_rank_config);
  find(library, "ncclCommGetAsyncError", api.comm_get_async_error);
  find(library, "ncclCommFinalize", api.comm_finalize);
  find(library, "ncclCommDestroy", api.comm_destroy);
  find(library, "ncclCommAbort", api.comm_abort);
  find(library, "ncclAllReduce", api.all_reduce);
  find(library, "ncclAllGather", api.all_gather);
  find(library, "ncclBroadcast", api.broadcast);
  find(library, "ncclSend", api.send);
  find(library, "ncclRecv", api.recv);
  find(library, "ncclGetLastError", api.get_last_error);
  return api;
}

}  // namespace

const NcclApi& nccl() {
  static const NcclApi api = open_nccl();
  return api;
}

ncclUniqueId unique_id(const std::vector<uint8_t>& bytes) {
  ncclUniqueId id;
  require(bytes.size() == sizeof(id), "an NCCL id has ", sizeof(id), " bytes, not ", bytes.size());
  std::memcpy(&id, bytes.data(), sizeof(id));
  return id;
}

std::string nccl_failure(ncclResult_t result, ncclComm_t comm) {
  const char* last = nccl().get_last_error(comm);
  const std::string more = last == nullptr || *last == '\0' ? "" : message(": ", last);
  return message("NCCL: ", nccl().get_error_string(result), more);
}

void check_nccl(ncclResult_t result, const char* doing) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  throw Error(message("NCCL: ", doing, ": ", nccl().get_error_string(result)));
}

}  // namespace uhd
