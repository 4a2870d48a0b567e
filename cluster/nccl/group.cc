#include "cluster/nccl/group.h"

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "kernels/cuda/check.h"

namespace uhd {
namespace {

constexpr Duration kGroupLeaveLimit = std::chrono::seconds(5);
constexpr Duration kAbortLimit = std::chrono::seconds(10);

// Runs the call on a thread of its own, which outlives a caller that stops waiting for it.
std::future<ncclResult_t> aside(std::function<ncclResult_t()> call) {
  std::packaged_task<ncclResult_t()> task(std::move(call));
  std::future<ncclResult_t> result = task.get_future();
  std::thread(std::move(task)).detach();
  return result;
}

bool over(const std::future<ncclResult_t>& call, Duration limit) {
  return call.wait_for(limit) == std::future_status::ready;
}

// A communicator on its way from the thread that makes it.
struct Meeting {
  std::mutex mutex;
  ncclComm_t made = nullptr;
  std::string failure;
  bool deserted = false;  // nobody waits for it any more
};

ncclResult_t meet(Meeting& meeting, const ncclUniqueId& id, int rank, int size, int device) {
  cudaSetDevice(device);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 1;
  ncclComm_t comm = nullptr;
  const ncclResult_t result = nccl().comm_init_rank_config(&comm, size, id, rank, &config);
  const std::lock_guard lock(meeting.mutex);
  if (result == ncclSuccess && !meeting.deserted) {
    meeting.made = comm;
    return result;
  }
  meeting.failure = nccl_failure(result, comm);
  if (comm != nullptr) nccl().comm_abort(comm);
  return result;
}

}  // namespace

NcclGroup::NcclGroup(const TransportId& id, int rank, int size, Duration limit) {
  int device = 0;
  cuda::check_cuda(cudaGetDevice(&device), "asking for the device");
  const auto meeting = std::make_shared<Meeting>();
  const ncclUniqueId unique = unique_id(id);
  const auto made = aside([=] { return meet(*meeting, unique, rank, size, device); });
  over(made, limit);
  const std::lock_guard lock(meeting->mutex);
  require(meeting->failure.empty(), meeting->failure);
  meeting->deserted = true;
  comm_ = meeting->made;
  require(comm_ != nullptr, "NCCL: the ranks of the group did not all come within ", seconds(limit), " s");
}

NcclGroup::~NcclGroup() {
  if (left_) return;
  abort();
  if (!over(aborting_, kAbortLimit)) log_warning("NCCL does not end a group", "reason", reason_);
}

ncclComm_t NcclGroup::get() const {
  require(reason_.empty(), reason_);
  return comm_;
}

void NcclGroup::look() {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = nccl().comm_get_async_error(get(), &state);
  if (asked != ncclSuccess || state != ncclSuccess) {
    give_up(nccl_failure(asked != ncclSuccess ? asked : state, comm_));
  }
}

void NcclGroup::give_up(const std::string& reason) {
  if (reason_.empty()) reason_ = reason;
  abort();
  throw Error(reason_);
}

void NcclGroup::abort() {
  if (aborting_.valid() || left_) return;
  aborting_ = aside([comm = comm_] { return nccl().comm_abort(comm); });
}

// From here on the communicator belongs to its thread, however the call ends: NCCL's calls on one
// communicator must not be made at once.
bool NcclGroup::leave() {
  const ncclComm_t comm = get();
  left_ = true;
  reason_ = "this group was left";
  auto leaving = aside([comm] {
    const ncclResult_t finalized = nccl().comm_finalize(comm);
    if (finalized == ncclSuccess) return nccl().comm_destroy(comm);
    nccl().comm_abort(comm);
    return finalized;
  });
  return over(leaving, kGroupLeaveLimit) && leaving.get() == ncclSuccess;
}

}  // namespace uhd
