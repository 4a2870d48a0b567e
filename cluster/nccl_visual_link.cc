#include "cluster/nccl_visual_link.h"

#include "cluster/nccl_comm.h"
#include "kernels/cuda/check.h"

namespace uhd {
namespace {

using cuda::check_cuda;

// Thread blocks that a transfer may take from the device's computing.
constexpr int kMostBlocks = 4;

class Event {
 public:
  Event() { check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }
  bool reached() const {
    const cudaError_t state = cudaEventQuery(event_);
    if (state == cudaErrorNotReady) return false;
    check_cuda(state, "asking for a transfer");
    return true;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class PriorityStream {
 public:
  PriorityStream() {
    int least = 0, greatest = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for stream priorities");
    check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), "creating a stream");
  }
  ~PriorityStream() {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }
  PriorityStream(const PriorityStream&) = delete;
  PriorityStream& operator=(const PriorityStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class NcclLink final : public VisualLink {
 public:
  NcclLink(cuda::Backend& backend, Tensor warm, TransportId id, LinkEnd end, Duration meet_limit)
      : backend_(backend), warm_(warm), id_(std::move(id)), end_(end), meet_limit_(meet_limit) {}

  ~NcclLink() override {
    try {
      backend_.stream();  // the device becomes this thread's
    } catch (const Error&) {
      // The device is lost, and with it every transfer.
    }
    comm_.reset();    // aborts
    stream_.reset();  // waits: nothing touches the rows afterwards
  }

  bool reaches_device() const override { return true; }

  void begin(uint64_t, Tensor rows) override {
    check(state_ != LinkState::busy && state_ != LinkState::connecting, "a link does one transfer at a time");
    check(rows.rank() == 2 && rows.dense() && rows.elements() > 0 && rows.bytes() <= kMaxTransferBytes &&
              (rows.dtype() == DType::f32 || rows.dtype() == DType::bf16),
          "a link moves dense [rows, width] tensors of f32 or bf16");
    if (state_ == LinkState::failed) return;
    guarded([&] {
      move(rows);
      state_ = LinkState::busy;
    });
  }

  LinkState poll() override {
    guarded([&] {
      if (state_ == LinkState::connecting) {
        connect();
      } else if (state_ == LinkState::busy && arrived()) {
        state_ = LinkState::done;
      }
    });
    return state_;
  }

  std::string failure() const override { return failure_; }

 private:
  // The stages of connecting: one a poll.
  void connect() {
    if (comm_ == nullptr) {
      backend_.stream();
      began_ = Clock::now();
      stream_ = std::make_unique<PriorityStream>();
      ready_ = std::make_unique<Event>();
      done_ = std::make_unique<Event>();
      comm_ = std::make_unique<NcclComm>(id_, end_ == LinkEnd::receives ? 0 : 1, 2, kMostBlocks);
    } else if (!warming_) {
      if (comm_->settled()) {
        move(warm_);
        warming_ = true;
      }
    } else if (arrived()) {
      state_ = LinkState::idle;
    }
    require(state_ == LinkState::idle || Clock::now() - began_ < meet_limit_,
            "the other end of a link did not come within ", seconds(meet_limit_), " s");
  }

  void move(Tensor rows) {
    const cudaStream_t computing = backend_.stream();
    check_cuda(cudaEventRecord(ready_->get(), computing), "marking the rows");
    check_cuda(cudaStreamWaitEvent(stream_->get(), ready_->get(), 0), "waiting for the rows");
    const auto count = static_cast<size_t>(rows.elements());
    const ncclDataType_t type = rows.dtype() == DType::f32 ? ncclFloat32 : ncclBfloat16;
    const ncclResult_t result = end_ == LinkEnd::receives
                                    ? nccl().recv(rows.raw(), count, type, 1, comm_->get(), stream_->get())
                                    : nccl().send(rows.raw(), count, type, 0, comm_->get(), stream_->get());
    check_nccl(result, "queueing rows");
    marked_ = false;
  }

  // The transfer is queued (which may take the peer's doing the first time), then it is done.
  bool arrived() {
    backend_.stream();
    if (!comm_->settled()) return false;
    if (!marked_) {
      check_cuda(cudaEventRecord(done_->get(), stream_->get()), "marking a transfer");
      marked_ = true;
    }
    return done_->reached();
  }

  template <class F>
  void guarded(const F& act) {
    try {
      act();
    } catch (const Error& e) {
      state_ = LinkState::failed;
      failure_ = e.what();
      comm_.reset();  // aborts: nothing on the device waits for the other end any more
    }
  }

  cuda::Backend& backend_;
  const Tensor warm_;
  const TransportId id_;
  const LinkEnd end_;
  const Duration meet_limit_;
  LinkState state_ = LinkState::connecting;
  std::string failure_;
  TimePoint began_;
  bool warming_ = false;
  bool marked_ = false;  // done_ stands behind the transfer
  std::unique_ptr<Event> ready_;
  std::unique_ptr<Event> done_;
  std::unique_ptr<PriorityStream> stream_;
  std::unique_ptr<NcclComm> comm_;
};

}  // namespace

std::unique_ptr<VisualLink> make_nccl_link(cuda::Backend& backend, Tensor warm, const TransportId& id,
                                           LinkEnd end, Duration meet_limit) {
  return std::make_unique<NcclLink>(backend, warm, id, end, meet_limit);
}

}  // namespace uhd
