#include "cluster/nccl_visual_link.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "cluster/nccl_pair.h"
#include "kernels/cuda/check.h"

namespace uhd {
namespace {

using cuda::check_cuda;

// Two threads by turns, the owner's and the link's own. The state says whose turn it is: the link's while
// connecting or busy, the owner's while idle or done; failed, the link's thread is over. Who has the turn
// reads and writes what stands under it, and gives it away by storing the state. `ending_` is the owner's at
// any time; having set it, the owner only waits for failed.
class NcclLink final : public VisualLink {
 public:
  NcclLink(cuda::Backend& backend, Tensor warm, TransportId id, LinkEnd end, Duration meet_limit)
      : backend_(backend), warm_(warm), id_(std::move(id)), end_(end), meet_limit_(meet_limit) {}
  ~NcclLink() override { abort(); }

  bool reaches_device() const override { return true; }

  // The backend's stream is touched here alone, on its own thread, which at other times may be recording it.
  void begin(uint64_t, Tensor rows) override {
    const LinkState state = poll();
    check(state != LinkState::busy && state != LinkState::connecting, "a link does one transfer at a time");
    check(rows.rank() == 2 && rows.dense() && rows.elements() > 0 && rows.bytes() <= kMaxTransferBytes &&
              (rows.dtype() == DType::f32 || rows.dtype() == DType::bf16),
          "a link moves dense [rows, width] tensors of f32 or bf16");
    if (state == LinkState::failed) return;
    try {
      check_cuda(cudaEventRecord(ready_, backend_.stream()), "marking the rows");
    } catch (const Error& e) {
      failure_ = e.what();
      return abort();
    }
    rows_ = rows;
    state_ = LinkState::busy;
    wake();
  }

  LinkState poll() override {
    if (!thread_.joinable() && state_ != LinkState::failed) start();
    const LinkState state = state_;
    return ending_ && state != LinkState::failed ? LinkState::busy : state;
  }

  void abort() override {
    ending_ = true;
    if (thread_.joinable()) {
      wake();
    } else if (state_ != LinkState::failed) {
      fail("the link was ended before it began");
    }
  }

  std::string failure() const override { return failure_; }

 private:
  void start() {
    try {
      backend_.stream();  // the device becomes this thread's
      int device = 0;
      check_cuda(cudaGetDevice(&device), "asking for the device");
      thread_ = std::jthread([this, device] { run(device); });
    } catch (const std::exception& e) {
      fail(e.what());
    }
  }

  void fail(const std::string& reason) {
    failure_ = reason;
    state_ = LinkState::failed;
  }

  void wake() {
    { const std::lock_guard lock(mutex_); }  // not between the sleeper's last look and its sleep
    asked_.notify_one();
  }

  // The link's thread. Recordings are bound to the thread that makes them (cudaStreamCaptureModeThreadLocal
  // in kernels/cuda/graph.cc), so whatever is called here is legal while the owner's thread records.
  void run(int device) {
    try {
      check_cuda(cudaSetDevice(device), "choosing the device");
      NcclPair pair(id_, end_, warm_, meet_limit_, ending_);
      ready_ = pair.ready();
      state_ = LinkState::idle;
      while (asked()) {
        pair.move(rows_);
        state_ = LinkState::done;
      }
      if (failure_.empty()) failure_ = "the link was ended by its owner";
    } catch (const std::exception& e) {
      failure_ = e.what();
    }
    state_ = LinkState::failed;  // the pair is gone: nothing touches the rows
  }

  // Sleeps until there are rows to move. False: the link ends. The lock is held by nobody who calls NCCL.
  bool asked() {
    std::unique_lock lock(mutex_);
    asked_.wait(lock, [&] { return ending_ || state_ == LinkState::busy; });
    return !ending_;
  }

  cuda::Backend& backend_;
  const Tensor warm_;
  const TransportId id_;
  const LinkEnd end_;
  const Duration meet_limit_;

  std::atomic<LinkState> state_ = LinkState::connecting;
  std::string failure_;
  Tensor rows_;
  cudaEvent_t ready_ = nullptr;  // the pair's

  std::atomic<bool> ending_ = false;
  std::mutex mutex_;  // of the sleep alone
  std::condition_variable asked_;
  std::jthread thread_;  // joined before what it uses is gone
};

}  // namespace

std::unique_ptr<VisualLink> make_nccl_link(cuda::Backend& backend, Tensor warm, const TransportId& id,
                                           LinkEnd end, Duration meet_limit) {
  return std::make_unique<NcclLink>(backend, warm, id, end, meet_limit);
}

}  // namespace uhd
