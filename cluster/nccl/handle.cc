#include "cluster/nccl/handle.h"

#include <utility>

#include "base/error.h"

namespace uhd {

NcclHandle::NcclHandle(const TransportId& id, int rank, int size, int most_blocks) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (most_blocks > 0) {
    config.minCTAs = 1;
    config.maxCTAs = most_blocks;
  }
  const ncclResult_t result = nccl().comm_init_rank_config(&comm_, size, unique_id(id), rank, &config);
  if (result == ncclSuccess || result == ncclInProgress) return;
  give_up(nccl_failure(result, comm_));  // a communicator may have been made, and no destructor ends it
}

NcclHandle::~NcclHandle() {
  if (comm_ != nullptr) nccl().comm_abort(comm_);
}

bool NcclHandle::settled() {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = nccl().comm_get_async_error(get(), &state);
  if (asked == ncclSuccess && state == ncclInProgress) return false;
  if (asked == ncclSuccess && state == ncclSuccess) return true;
  give_up(nccl_failure(asked == ncclSuccess ? state : asked, comm_));
}

ncclComm_t NcclHandle::get() const {
  require(comm_ != nullptr, reason_);
  return comm_;
}

void NcclHandle::give_up(const std::string& reason) {
  reason_ = reason;
  if (comm_ != nullptr) nccl().comm_abort(std::exchange(comm_, nullptr));
  throw Error(reason);
}

}  // namespace uhd
