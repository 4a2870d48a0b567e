#include "cluster/host/staged_communicator.h"

#include <vector>

namespace uhd {
namespace {

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(Backend& backend, std::unique_ptr<Communicator> host)
      : backend_(backend), host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }

  void all_reduce(Tensor x) override {
    check_dense(x);
    if (size() == 1) return;
    const Tensor staged = down(x, mine_);
    host_->all_reduce(staged);
    up(x, staged);
  }

  void all_gather(Tensor out, Tensor x) override {
    check_dense(x);
    check(out.dense() && out.dtype() == x.dtype() && out.elements() == x.elements() * size(),
          "all_gather needs room for every rank's tensor");
    const Tensor own = down(x, mine_);
    const Tensor everyone = room(out, all_);
    host_->all_gather(everyone, own);
    up(out, everyone);
  }

  void broadcast(Tensor x, int root) override {
    check_peer(root);
    check_dense(x);
    if (size() == 1) return;
    const Tensor staged = root == rank() ? down(x, mine_) : room(x, mine_);
    host_->broadcast(staged, root);
    if (root != rank()) up(x, staged);
  }

  void send(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    host_->send(down(x, mine_), peer);
  }

  void receive(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    const Tensor staged = room(x, mine_);
    host_->receive(staged, peer);
    up(x, staged);
  }

  void barrier() override {
    backend_.synchronize();
    host_->barrier();
  }

 private:
  static void check_dense(Tensor x) { check(x.dense(), "communicators take dense tensors"); }
  void check_peer(int peer) const { check(peer >= 0 && peer < size(), "there is no rank ", peer); }

  static Tensor room(Tensor x, std::vector<std::byte>& memory) {
    if (memory.size() < x.bytes()) memory.resize(x.bytes());
    return Tensor(memory.data(), x.dtype(), x.shape());
  }
  Tensor down(Tensor x, std::vector<std::byte>& memory) {
    const Tensor staged = room(x, memory);
    if (x.elements() > 0) backend_.download(staged, x);
    return staged;
  }
  void up(Tensor x, Tensor staged) {
    if (x.elements() > 0) backend_.upload(x, staged);
  }

  Backend& backend_;
  const std::unique_ptr<Communicator> host_;
  std::vector<std::byte> mine_;
  std::vector<std::byte> all_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(Backend& backend, std::unique_ptr<Communicator> host) {
  return std::make_unique<StagedCommunicator>(backend, std::move(host));
}

}  // namespace uhd
