// Measures how long a rank spends in collectives: the way of the data and the wait for slower ranks.
#pragma once

#include <memory>

#include "base/clock.h"
#include "cluster/communicator.h"

namespace uhd {

// So far, as the thread that calls the communicator sees it.
struct CollectiveTime {
  double seconds = 0;
};

// Does what another communicator does, and adds to `time`. It is for backends whose calls return when they
// are done (Backend::host_memory); elsewhere they only join a queue.
class TimedCommunicator final : public Communicator {
 public:
  TimedCommunicator(std::unique_ptr<Communicator> group, std::shared_ptr<CollectiveTime> time)
      : group_(std::move(group)), time_(std::move(time)) {}

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  void all_reduce(Tensor x) override {
    timed([&] { group_->all_reduce(x); });
  }
  void all_gather(Tensor out, Tensor x) override {
    timed([&] { group_->all_gather(out, x); });
  }
  void broadcast(Tensor x, int root) override {
    timed([&] { group_->broadcast(x, root); });
  }
  void send(Tensor x, int peer) override { group_->send(x, peer); }
  void receive(Tensor x, int peer) override { group_->receive(x, peer); }
  void barrier() override { group_->barrier(); }
  bool recordable() const override { return group_->recordable(); }

 private:
  template <class Call>
  void timed(const Call& call) {
    const TimePoint begun = Clock::now();
    call();
    time_->seconds += seconds(Clock::now() - begun);
  }

  std::unique_ptr<Communicator> group_;
  std::shared_ptr<CollectiveTime> time_;
};

}  // namespace uhd
