#include "cluster/nccl/communicator.h"

#include "base/log.h"
#include "cluster/idle_wait.h"
#include "cluster/nccl/all_reduce_choice.h"
#include "cluster/nccl/group.h"

namespace uhd {
namespace {

constexpr Duration kLeaveLimit = std::chrono::seconds(5);

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::i32:
      return ncclInt32;
    case DType::i64:
      return ncclInt64;
    case DType::i8:
      return ncclInt8;
    case DType::u8:
      return ncclUint8;
  }
  throw Error("a type that NCCL does not know");
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(cuda::Backend& backend, const TransportId& id, int rank, int size, NcclLimits limits)
      : backend_(backend), limits_(limits), rank_(rank), size_(size) {
    backend_.stream();  // the device becomes this thread's
    comm_ = std::make_unique<NcclGroup>(id, rank, size, limits.meet);
    meeting_point_ = backend_.allocate(sizeof(float));
    const float zero = 0;
    backend_.upload(meeting_point_.as(DType::f32, {1}), Tensor::of(&zero, {1}));
    backend_.while_waiting(this, [this](Duration waited) {
      if (ipc_) ipc_->look();
      comm_->look();
      if (waited > limits_.wait)
        comm_->give_up(message("a rank did not do its part within ", seconds(limits_.wait), " s"));
    });
  }

  ~NcclCommunicator() override {
    backend_.while_waiting(this, nullptr);
    try {
      if (idle_soon() && (!ipc_ || ipc_->leave(kLeaveLimit)) && comm_->leave()) return;
    } catch (const Error&) {
      // A rank or the device is lost: work under way is aborted.
    }
    if (ipc_) ipc_->end();
    comm_.reset();
  }

  // Chooses how small sums are computed. The call is collective.
  void choose_sums(const IpcOptions& options) {
    if (options.mode == "off" || size_ == 1) return;
    const Exchange exchange = [this](std::span<const std::byte> own) { return everyones(own); };
    ipc_ = std::make_unique<IpcAllReduce>(backend_, rank_, size_, options.limit, exchange);
    const Summing by_ipc = [this](Tensor x) { ipc_->sum(x); };
    const Summing by_nccl = [this](Tensor x) { sum_by_nccl(x); };
    std::string reason = ipc_->obstacle();
    if (reason.empty() && !sums_are_right(backend_, rank_, size_, by_ipc, exchange))
      reason = "its sums come out wrong on these devices";
    if (!reason.empty()) ipc_.reset();
    require(options.mode != "on" || reason.empty(), "ipc_all_reduce is on, but ", reason);
    if (ipc_ && options.mode == "auto") {
      const auto timings = time_sums(backend_, by_nccl, by_ipc, exchange);
      ipc_limit_ = ipc_limit(timings);
      reason = "microseconds of NCCL/IPC: " + words(timings);
    } else if (ipc_) {
      ipc_limit_ = cuda::kMostSummedBytes;
      reason = "asked for";
    }
    if (rank_ == 0) log_info("sums by IPC", "up_to_bytes", ipc_limit_, "reason", reason);
    if (ipc_limit_ == 0) ipc_.reset();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  bool recordable() const override { return true; }

  void all_reduce(Tensor x) override {
    check_dense(x);
    check(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "sums are of f32 or bf16");
    if (size_ == 1) return;
    if (ipc_ && x.bytes() <= ipc_limit_) {
      ipc_->sum(x);
    } else {
      sum_by_nccl(x);
    }
  }

  void all_gather(Tensor out, Tensor x) override {
    check_dense(x);
    check(out.dense() && out.dtype() == x.dtype() && out.elements() == x.elements() * size_,
          "all_gather needs room for every rank's tensor");
    queue(x, [&](ncclComm_t comm, cudaStream_t stream) {
      return nccl().all_gather(x.raw(), out.raw(), count(x), type_of(x.dtype()), comm, stream);
    });
  }

  void broadcast(Tensor x, int root) override {
    check_peer(root);
    check_dense(x);
    queue(x, [&](ncclComm_t comm, cudaStream_t stream) {
      return nccl().broadcast(x.raw(), x.raw(), count(x), type_of(x.dtype()), root, comm, stream);
    });
  }

  void send(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    queue(x, [&](ncclComm_t comm, cudaStream_t stream) {
      return nccl().send(x.raw(), count(x), type_of(x.dtype()), peer, comm, stream);
    });
  }

  void receive(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    queue(x, [&](ncclComm_t comm, cudaStream_t stream) {
      return nccl().recv(x.raw(), count(x), type_of(x.dtype()), peer, comm, stream);
    });
  }

  void barrier() override {
    sum_by_nccl(meeting_point_.as(DType::f32, {1}));
    backend_.synchronize();
  }

 private:
  static void check_dense(Tensor x) { check(x.dense(), "communicators take dense tensors"); }
  void check_peer(int peer) const { check(peer >= 0 && peer < size_, "there is no rank ", peer); }
  static size_t count(Tensor x) { return static_cast<size_t>(x.elements()); }

  void sum_by_nccl(Tensor x) {
    queue(x, [&](ncclComm_t comm, cudaStream_t stream) {
      return nccl().all_reduce(x.raw(), x.raw(), count(x), type_of(x.dtype()), ncclSum, comm, stream);
    });
  }

  // Every rank's bytes in rank order: an Exchange.
  std::vector<std::byte> everyones(std::span<const std::byte> own) {
    const auto bytes = static_cast<int64_t>(own.size());
    const DeviceBuffer memory = backend_.allocate(own.size() * static_cast<size_t>(size_ + 1));
    const Tensor all = memory.as(DType::u8, {size_ + 1, bytes});
    const Tensor mine = all.slice_rows(size_, 1), gathered = all.slice_rows(0, size_);
    backend_.upload(mine, Tensor(const_cast<std::byte*>(own.data()), DType::u8, mine.shape()));
    all_gather(gathered, mine);
    std::vector<std::byte> host(own.size() * static_cast<size_t>(size_));
    backend_.download(Tensor(host.data(), DType::u8, gathered.shape()), gathered);
    return host;
  }

  // A collective of no elements does nothing, on every rank alike.
  template <class Call>
  void queue(Tensor x, const Call& call) {
    if (x.elements() == 0) return;
    const cudaStream_t stream = backend_.stream();
    comm_->call([&](ncclComm_t comm) { return call(comm, stream); });
  }

  // Returns true if everything that was queued ends, with nobody lost.
  bool idle_soon() {
    const cudaStream_t stream = backend_.stream();
    IdleWait wait;
    while (cudaStreamQuery(stream) == cudaErrorNotReady) {
      comm_->look();
      if (wait.waited() > kLeaveLimit) return false;
      wait.once();
    }
    comm_->look();
    return true;
  }

  cuda::Backend& backend_;
  const NcclLimits limits_;
  const int rank_;
  const int size_;
  std::unique_ptr<NcclGroup> comm_;
  DeviceBuffer meeting_point_;
  std::unique_ptr<IpcAllReduce> ipc_;
  size_t ipc_limit_ = 0;  // of sums by IPC
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(cuda::Backend& backend, const TransportId& id, int rank,
                                                     int size, NcclLimits limits, const IpcOptions& ipc) {
  auto group = std::make_unique<NcclCommunicator>(backend, id, rank, size, limits);
  group->choose_sums(ipc);
  return group;
}

}  // namespace uhd
