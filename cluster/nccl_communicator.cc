#include "cluster/nccl_communicator.h"

#include "cluster/idle_wait.h"
#include "cluster/nccl_comm.h"

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
    comm_ = std::make_unique<NcclComm>(id, rank, size, 0);
    settle(limits_.meet, "the ranks of the group did not all come");
    meeting_point_ = backend_.allocate(sizeof(float));
    const float zero = 0;
    backend_.upload(meeting_point_.as(DType::f32, {1}), Tensor::of(&zero, {1}));
    backend_.while_waiting(this, [this] { comm_->settled(); });
  }

  ~NcclCommunicator() override {
    backend_.while_waiting(this, nullptr);
    try {
      if (idle_soon() && comm_->finalize()) return;
    } catch (const Error&) {
      // A rank or the device is lost: what is under way is aborted.
    }
    comm_.reset();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  bool recordable() const override { return true; }

  void all_reduce(Tensor x) override {
    check_dense(x);
    check(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "sums are of f32 or bf16");
    if (size_ == 1) return;
    queue(x, [&](cudaStream_t stream) {
      return nccl().all_reduce(x.raw(), x.raw(), count(x), type_of(x.dtype()), ncclSum, comm_->get(), stream);
    });
  }

  void all_gather(Tensor out, Tensor x) override {
    check_dense(x);
    check(out.dense() && out.dtype() == x.dtype() && out.elements() == x.elements() * size_,
          "all_gather needs room for every rank's tensor");
    queue(x, [&](cudaStream_t stream) {
      return nccl().all_gather(x.raw(), out.raw(), count(x), type_of(x.dtype()), comm_->get(), stream);
    });
  }

  void broadcast(Tensor x, int root) override {
    check_peer(root);
    check_dense(x);
    queue(x, [&](cudaStream_t stream) {
      return nccl().broadcast(x.raw(), x.raw(), count(x), type_of(x.dtype()), root, comm_->get(), stream);
    });
  }

  void send(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    queue(x, [&](cudaStream_t stream) {
      return nccl().send(x.raw(), count(x), type_of(x.dtype()), peer, comm_->get(), stream);
    });
  }

  void receive(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    queue(x, [&](cudaStream_t stream) {
      return nccl().recv(x.raw(), count(x), type_of(x.dtype()), peer, comm_->get(), stream);
    });
  }

  void barrier() override {
    all_reduce(meeting_point_.as(DType::f32, {1}));
    backend_.synchronize();
  }

 private:
  static void check_dense(Tensor x) { check(x.dense(), "communicators take dense tensors"); }
  void check_peer(int peer) const { check(peer >= 0 && peer < size_, "there is no rank ", peer); }
  static size_t count(Tensor x) { return static_cast<size_t>(x.elements()); }

  // Nothing is a collective of no elements: every rank sees the same.
  template <class Call>
  void queue(Tensor x, const Call& call) {
    if (x.elements() == 0) return;
    const ncclResult_t result = call(backend_.stream());
    check_nccl(result, "queueing an operation");
    if (result == ncclInProgress) settle(limits_.queue, "an operation could not be queued");
  }

  // Whether everything that was queued ends, with nobody lost.
  bool idle_soon() {
    const cudaStream_t stream = backend_.stream();
    IdleWait wait;
    while (cudaStreamQuery(stream) == cudaErrorNotReady) {
      comm_->settled();
      if (wait.waited() > kLeaveLimit) return false;
      wait.once();
    }
    return comm_->settled();
  }

  void settle(Duration limit, const char* late) {
    IdleWait wait;
    while (!comm_->settled()) {
      if (wait.waited() > limit) comm_->give_up(message("NCCL: ", late, " within ", seconds(limit), " s"));
      wait.once();
    }
  }

  cuda::Backend& backend_;
  const NcclLimits limits_;
  const int rank_;
  const int size_;
  std::unique_ptr<NcclComm> comm_;
  DeviceBuffer meeting_point_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(cuda::Backend& backend, const TransportId& id, int rank,
                                                     int size, NcclLimits limits) {
  return std::make_unique<NcclCommunicator>(backend, id, rank, size, limits);
}

}  // namespace uhd
