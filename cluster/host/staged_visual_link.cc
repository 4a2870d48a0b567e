#include "cluster/host/staged_visual_link.h"

#include <cstring>
#include <deque>
#include <vector>

#include "cluster/host/visual_rows.h"

namespace uhd {
namespace {

// A transfer with the host memory that the other link sends or fills.
struct StagedTransfer {
  uint64_t job = 0;
  Tensor rows;
  const Mark* after = nullptr;
  std::vector<std::byte> memory;

  Tensor host() { return Tensor(memory.data(), rows.dtype(), rows.shape()); }
};

// Both ends share this: transfers in their order, and host memory that is used again.
class StagedLink : public VisualLink {
 public:
  StagedLink(Backend& backend, std::unique_ptr<VisualLink> link)
      : backend_(backend), link_(std::move(link)) {}

  bool reaches_device() const final { return true; }

  void begin(uint64_t job, Tensor rows, const Mark* after) final {
    check_room(transfers_.size());
    check_rows(rows);
    StagedTransfer transfer{job, rows, after, {}};
    if (!spare_.empty()) {
      transfer.memory = std::move(spare_.back());
      spare_.pop_back();
    }
    if (transfer.memory.size() < rows.bytes()) transfer.memory.resize(rows.bytes());
    transfers_.push_back(std::move(transfer));
    began();
  }

  LinkState poll() final {
    const LinkState state = advance();
    return state != LinkState::failed && !transfers_.empty() ? LinkState::busy : state;
  }
  uint64_t ended() const final { return ended_; }
  std::string failure() const final { return link_->failure(); }

 protected:
  virtual void began() = 0;
  // Does everything that can be done by now. Returns the state of the other link, or busy though that has
  // failed, while a tensor is still read.
  virtual LinkState advance() = 0;

  StagedTransfer end_first() {
    StagedTransfer first = std::move(transfers_.front());
    transfers_.pop_front();
    ++ended_;
    return first;
  }
  void keep(StagedTransfer done) { spare_.push_back(std::move(done.memory)); }

  Backend& backend_;
  std::deque<StagedTransfer> transfers_;
  std::unique_ptr<VisualLink> link_;  // gone before the memory that it may be touching

 private:
  std::vector<std::vector<std::byte>> spare_;
  uint64_t ended_ = 0;
};

class StagedSender final : public StagedLink {
 public:
  StagedSender(Backend& backend, std::unique_ptr<VisualLink> link, size_t most_bytes)
      : StagedLink(backend, std::move(link)), readback_(backend.make_readback(most_bytes)) {}

  void abort() override { link_->abort(); }

 private:
  void began() override { copy_to_host(); }

  LinkState advance() override {
    copy_to_host();
    const LinkState state = link_->poll();
    if (state == LinkState::failed) return copying_ && !readback_->ready() ? LinkState::busy : state;
    while (ended() < link_->ended()) {
      keep(end_first());
      --sent_;
    }
    return state;
  }

  // One transfer at a time passes through pinned memory.
  void copy_to_host() {
    while (sent_ < transfers_.size()) {
      StagedTransfer& next = transfers_[sent_];
      if (!copying_) {
        if (next.after != nullptr && !next.after->reached()) return;
        readback_->begin_beside(next.rows);
        copying_ = true;
      }
      if (!readback_->ready()) return;
      copying_ = false;
      std::memcpy(next.memory.data(), readback_->wait().raw(), next.rows.bytes());
      link_->begin(next.job, next.host());
      ++sent_;
    }
  }

  const std::unique_ptr<Readback> readback_;
  bool copying_ = false;
  size_t sent_ = 0;  // of transfers_, from the first on
};

class StagedReceiver final : public StagedLink {
 public:
  using StagedLink::StagedLink;

  void abort() override {
    aborted_ = true;
    link_->abort();
  }

 private:
  void began() override { link_->begin(transfers_.back().job, transfers_.back().host()); }

  // The upload keeps the backend's order, so nothing else is waited for.
  LinkState advance() override {
    const LinkState state = link_->poll();
    while (!aborted_ && ended() < link_->ended()) {
      StagedTransfer first = end_first();
      backend_.upload(first.rows, first.host());
      keep(std::move(first));
    }
    return state;
  }

  bool aborted_ = false;
};

}  // namespace

std::unique_ptr<VisualLink> link_for(Backend& backend, std::unique_ptr<VisualLink> link, LinkEnd end,
                                     size_t most_bytes) {
  if (link == nullptr || backend.host_memory() || link->reaches_device()) return link;
  if (end == LinkEnd::receives) return std::make_unique<StagedReceiver>(backend, std::move(link));
  return std::make_unique<StagedSender>(backend, std::move(link), most_bytes);
}

}  // namespace uhd
