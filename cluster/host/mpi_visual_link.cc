#include "cluster/host/mpi_visual_link.h"

#include <deque>
#include <optional>
#include <vector>

#include "base/error.h"
#include "cluster/frame.h"
#include "cluster/host/visual_rows.h"

namespace uhd {
namespace {

constexpr int kRowsTag = 0;

// Both ends share this: transfers in their order, and a failure that stays.
class MpiLink : public VisualLink {
 public:
  MpiLink(MpiGroup group, int peer) : group_(std::move(group)), peer_(peer) {}

  void begin(uint64_t job, Tensor rows, const Mark*) final {
    check_room(transfers_.size());
    check_rows(rows);
    if (failed_) return;
    transfers_.push_back({job, rows, {}});
    guarded([&] { start(transfers_.back()); });
  }

  LinkState poll() final {
    guarded([&] {
      while (!failed_ && !transfers_.empty() && advance(transfers_.front())) {
        transfers_.pop_front();
        ++ended_;
      }
    });
    if (failed_) return LinkState::failed;
    if (!transfers_.empty()) return LinkState::busy;
    return ended_ == 0 ? LinkState::idle : LinkState::done;
  }
  uint64_t ended() const final { return ended_; }

  // MPI reads and writes buffers of the requests, which outlive the link where they must; the tensors are
  // touched by begin() and poll() alone.
  void abort() final {
    if (!failed_) fail("the link was ended by its owner");
  }

  std::string failure() const final { return failure_; }

 protected:
  struct Transfer {
    uint64_t job = 0;
    Tensor rows;
    MpiRequest sent;
  };
  virtual void start(Transfer& transfer) = 0;
  virtual bool advance(Transfer& transfer) = 0;  // true when it is complete
  virtual void drop() {}

  MpiGroup group_;
  const int peer_;

 private:
  template <class F>
  void guarded(const F& act) {
    try {
      act();
    } catch (const Error& e) {
      fail(e.what());
    }
  }
  void fail(const std::string& reason) {
    failed_ = true;
    failure_ = reason;
    transfers_.clear();
    drop();
  }

  std::deque<Transfer> transfers_;
  uint64_t ended_ = 0;
  bool failed_ = false;
  std::string failure_;
};

class MpiSender final : public MpiLink {
 public:
  using MpiLink::MpiLink;

 private:
  void start(Transfer& transfer) override {
    transfer.sent = group_.start_send(write_rows(transfer.job, transfer.rows), peer_, kRowsTag);
  }
  bool advance(Transfer& transfer) override { return transfer.sent.test().has_value(); }
};

class MpiReceiver final : public MpiLink {
 public:
  using MpiLink::MpiLink;

 private:
  void start(Transfer&) override {}
  void drop() override { request_ = {}; }

  bool advance(Transfer& transfer) override {
    while (const auto frame = next()) {
      const auto payload = read_frame(FrameType::visual_rows, *frame, kRowsHeaderBytes + kMaxTransferBytes);
      if (job_of_rows(payload) != transfer.job) continue;
      read_rows(payload, transfer.job, transfer.rows);
      return true;
    }
    return false;
  }

  // The next message, if all of it is here.
  std::optional<std::vector<std::byte>> next() {
    if (!request_.pending()) {
      const auto bytes = group_.probe(peer_, kRowsTag);
      if (!bytes) return std::nullopt;
      require(*bytes <= kFrameHeaderBytes + kRowsHeaderBytes + kMaxTransferBytes, "rank ", peer_, " sends ",
              *bytes, " bytes of rows, over the limit");
      request_ = group_.start_receive(*bytes, peer_, kRowsTag);
    }
    return request_.test();
  }

  MpiRequest request_;
};

}  // namespace

std::unique_ptr<VisualLink> make_mpi_sender(MpiGroup group, int peer) {
  return std::make_unique<MpiSender>(std::move(group), peer);
}

std::unique_ptr<VisualLink> make_mpi_receiver(MpiGroup group, int peer) {
  return std::make_unique<MpiReceiver>(std::move(group), peer);
}

}  // namespace uhd
