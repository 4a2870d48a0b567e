#include "cluster/nccl/link.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "cluster/nccl/pair.h"
#include "kernels/cuda/check.h"

namespace uhd {
namespace {

using cuda::check_cuda;

// The time between two looks at the transfers under way.
constexpr Duration kLook = std::chrono::microseconds(50);

// Two threads, the owner's and the link's own, which alone calls NCCL. Transfers pass from the one to the
// other through a queue; how many have ended, and the state, come back as numbers. The reason of a failure is
// written before the state says failed, by which time the link's thread is over or was never there.
class NcclLink final : public VisualLink {
 public:
  NcclLink(cuda::Backend& backend, Tensor warm, TransportId id, LinkEnd end, Duration meet_limit,
           std::function<void()> on_met)
      : backend_(backend),
        warm_(warm),
        id_(std::move(id)),
        end_(end),
        meet_limit_(meet_limit),
        on_met_(std::move(on_met)) {}
  ~NcclLink() override { abort(); }

  bool reaches_device() const override { return true; }

  void begin(uint64_t, Tensor rows, const Mark* after) override {
    const LinkState state = poll();
    check(state != LinkState::connecting, "a link carries nothing before it stands");
    check(rows.rank() == 2 && rows.dense() && rows.elements() > 0 && rows.bytes() <= kMaxTransferBytes &&
              (rows.dtype() == DType::f32 || rows.dtype() == DType::bf16),
          "a link moves dense [rows, width] tensors of f32 or bf16");
    if (state == LinkState::failed) return;
    check_room(begun_ - ended_);
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back({rows, after});
    }
    ++begun_;
    asked_.notify_one();
  }

  LinkState poll() override {
    if (!thread_.joinable() && state_ != LinkState::failed) start();
    const LinkState state = state_;
    if (state == LinkState::failed) return state;
    if (ending_) return LinkState::busy;
    if (state == LinkState::connecting || begun_ == 0) return state;
    seen_ = ended_;
    return seen_ == begun_ ? LinkState::done : LinkState::busy;
  }
  uint64_t ended() const override { return seen_; }

  void abort() override {
    ending_ = true;
    if (thread_.joinable()) {
      { const std::lock_guard lock(mutex_); }  // not between the sleeper's last look and its sleep
      asked_.notify_one();
    } else if (state_ != LinkState::failed) {
      fail("the link was ended before it began");
    }
  }

  std::string failure() const override { return failure_; }

 private:
  struct Transfer {
    Tensor rows;
    const Mark* after = nullptr;
  };

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

  // This is the link's thread. Recordings are bound to the thread that makes them
  // (cudaStreamCaptureModeThreadLocal in kernels/cuda/graph.cc), so every call here is legal while the
  // owner's thread records.
  void run(int device) {
    std::string reason = "the link was ended by its owner";
    try {
      check_cuda(cudaSetDevice(device), "choosing the device");
      NcclPair pair(id_, end_, warm_, meet_limit_, ending_);
      if (on_met_) on_met_();
      state_ = LinkState::idle;
      serve(pair);
    } catch (const std::exception& e) {
      reason = e.what();
    }
    fail(reason);  // the pair is gone: nothing touches the rows
  }

  void serve(NcclPair& pair) {
    uint64_t queued = 0;
    while (const std::optional<Transfer> next = wait_for_work(queued > ended_)) {
      if (next->rows.empty() || (next->after != nullptr && !next->after->reached())) {
        std::this_thread::sleep_for(kLook);
      } else {
        pair.queue(next->rows);
        ++queued;
        const std::lock_guard lock(mutex_);
        waiting_.pop_front();
      }
      ended_ = pair.ended();
    }
  }

  // Returns the first transfer that is not queued; its rows are empty if there is none. It sleeps while
  // nothing is queued or under way, and returns no value when the link ends. Nobody calls NCCL while holding
  // the lock.
  std::optional<Transfer> wait_for_work(bool under_way) {
    std::unique_lock lock(mutex_);
    if (!under_way) asked_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
    if (ending_) return std::nullopt;
    return waiting_.empty() ? Transfer{} : waiting_.front();
  }

  cuda::Backend& backend_;
  const Tensor warm_;
  const TransportId id_;
  const LinkEnd end_;
  const Duration meet_limit_;
  const std::function<void()> on_met_;

  std::atomic<LinkState> state_ = LinkState::connecting;  // connecting, idle or failed
  std::string failure_;
  uint64_t begun_ = 0;               // the owner's
  uint64_t seen_ = 0;                // the owner's, of the next
  std::atomic<uint64_t> ended_ = 0;  // the link's thread's

  std::atomic<bool> ending_ = false;
  std::mutex mutex_;  // of the queue and the sleep alone
  std::condition_variable asked_;
  std::deque<Transfer> waiting_;
  std::jthread thread_;  // joined before the members that it uses are gone
};

}  // namespace

std::unique_ptr<VisualLink> make_nccl_link(cuda::Backend& backend, Tensor warm, const TransportId& id,
                                           LinkEnd end, Duration meet_limit, std::function<void()> on_met) {
  return std::make_unique<NcclLink>(backend, warm, id, end, meet_limit, std::move(on_met));
}

}  // namespace uhd
