#include "cluster/nccl_comm.h"

#include <cstring>
#include <utility>

#include "base/error.h"
#include "cluster/idle_wait.h"

namespace uhd {
namespace {

constexpr Duration kFinalizeLimit = std::chrono::seconds(5);

}  // namespace

NcclComm::NcclComm(const TransportId& id, int rank, int size, int most_blocks) {
  ncclUniqueId unique;
  require(id.size() == sizeof(unique), "an NCCL id has ", sizeof(unique), " bytes, not ", id.size());
  std::memcpy(&unique, id.data(), sizeof(unique));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (most_blocks > 0) {
    config.minCTAs = 1;
    config.maxCTAs = most_blocks;
  }
  check_nccl(nccl().comm_init_rank_config(&comm_, size, unique, rank, &config), "meeting the other ranks");
}

NcclComm::~NcclComm() {
  if (comm_ != nullptr) nccl().comm_abort(comm_);
}

bool NcclComm::settled() {
  check(comm_ != nullptr, "this communicator has ended");
  ncclResult_t state = ncclSuccess;
  check_nccl(nccl().comm_get_async_error(comm_, &state), "asking for errors");
  if (state == ncclInProgress) return false;
  if (state != ncclSuccess) {
    const char* last = nccl().get_last_error(comm_);
    throw Error(message("NCCL: ", nccl().get_error_string(state),
                        last == nullptr || *last == '\0' ? "" : ": ", last == nullptr ? "" : last));
  }
  return true;
}

bool NcclComm::finalize() {
  try {
    check_nccl(nccl().comm_finalize(comm_), "ending a group");
    IdleWait wait;
    while (!settled()) {
      require(wait.waited() < kFinalizeLimit, "a rank does not end its group");
      wait.once();
    }
    check_nccl(nccl().comm_destroy(std::exchange(comm_, nullptr)), "freeing a group");
    return true;
  } catch (const Error&) {
    if (comm_ != nullptr) nccl().comm_abort(std::exchange(comm_, nullptr));
    return false;
  }
}

}  // namespace uhd
