// Puts a communicator on device memory behind the tests' host tensors.
#pragma once

#include "cluster/communicator.h"
#include "kernels/backend.h"

namespace uhd {

// Copies a collective's inputs to the device, calls it there, and copies its outputs back. Spaced tensors
// keep their spacing (and no values), so that the communicator itself refuses them.
class OnDevice final : public Communicator {
 public:
  OnDevice(Backend& backend, Communicator& group) : backend_(backend), group_(group) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  void all_reduce(Tensor x) override {
    const Staged own = stage(x);
    group_.all_reduce(own.tensor);
    give_back(x, own);
  }
  void all_gather(Tensor out, Tensor x) override {
    const Staged own = stage(x), all = stage(out);
    group_.all_gather(all.tensor, own.tensor);
    give_back(out, all);
  }
  void broadcast(Tensor x, int root) override {
    const Staged own = stage(x);
    group_.broadcast(own.tensor, root);
    give_back(x, own);
  }
  void send(Tensor x, int peer) override {
    const Staged own = stage(x);
    group_.send(own.tensor, peer);
    backend_.synchronize();
  }
  void receive(Tensor x, int peer) override {
    const Staged own = stage(x);
    group_.receive(own.tensor, peer);
    give_back(x, own);
  }
  void barrier() override { group_.barrier(); }
  bool recordable() const override { return false; }

 private:
  struct Staged {
    DeviceBuffer memory;
    Tensor tensor;
  };
  Staged stage(Tensor x) {
    Staged staged;
    const int64_t elements = x.rows() * x.row_stride();
    staged.memory = backend_.allocate(static_cast<size_t>(elements) * size_of(x.dtype()));
    staged.tensor = Tensor(staged.memory.data(), x.dtype(), x.shape(), x.row_stride());
    if (x.dense() && x.elements() > 0) backend_.upload(staged.tensor, x);
    return staged;
  }
  void give_back(Tensor x, const Staged& staged) {
    if (x.elements() > 0) backend_.download(x, staged.tensor);
  }

  Backend& backend_;
  Communicator& group_;
};

}  // namespace uhd
