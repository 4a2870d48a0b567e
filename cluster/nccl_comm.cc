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
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = nccl().comm_get_async_error(get(), &state);
  if (asked == ncclSuccess && state == ncclInProgress) return false;
  if (asked == ncclSuccess && state == ncclSuccess) return true;
  const char* last = nccl().get_last_error(comm_);
  const std::string more = last == nullptr || *last == '\0' ? "" : message(": ", last);
  give_up(message("NCCL: ", nccl().get_error_string(asked == ncclSuccess ? state : asked), more));
}

ncclComm_t NcclComm::get() const {
  require(comm_ != nullptr, reason_);
  return comm_;
}

void NcclComm::give_up(const std::string& reason) {
  reason_ = reason;
  if (comm_ != nullptr) nccl().comm_abort(std::exchange(comm_, nullptr));
  throw Error(reason);
}

bool NcclComm::finalize() {
  try {
    check_nccl(nccl().comm_finalize(get()), "ending a group");
    IdleWait wait;
    while (!settled()) {
      if (wait.waited() > kFinalizeLimit) give_up("NCCL: a rank does not end its group");
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
