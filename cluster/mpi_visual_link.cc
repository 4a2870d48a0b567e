#include "cluster/mpi_visual_link.h"

#include "base/error.h"
#include "cluster/frame.h"
#include "cluster/visual_rows.h"

namespace uhd {
namespace {

constexpr int kTag = 0;

// What both ends share: one transfer, and a failure that stays.
class MpiLink : public VisualLink {
 public:
  MpiLink(MpiGroup group, int peer) : group_(std::move(group)), peer_(peer) {}

  void begin(uint64_t job, Tensor rows) final {
    check(state_ != LinkState::busy, "a link does one transfer at a time");
    check_rows(rows);
    if (state_ == LinkState::failed) return;
    state_ = LinkState::busy;
    guarded([&] { start(job, rows); });
  }

  LinkState poll() final {
    if (state_ == LinkState::busy) {
      guarded([&] {
        if (advance()) state_ = LinkState::done;
      });
    }
    return state_;
  }

  // MPI reads and writes buffers of the requests, which outlive the link where they must; the tensor is
  // touched by begin() and poll() alone.
  void abort() final {
    if (state_ == LinkState::failed) return;
    state_ = LinkState::failed;
    failure_ = "the link was ended by its owner";
    request_ = {};
  }

  std::string failure() const final { return failure_; }

 protected:
  virtual void start(uint64_t job, Tensor rows) = 0;
  virtual bool advance() = 0;  // true when the transfer is complete

  MpiGroup group_;
  const int peer_;
  MpiRequest request_;

 private:
  template <class F>
  void guarded(const F& act) {
    try {
      act();
    } catch (const Error& e) {
      state_ = LinkState::failed;
      failure_ = e.what();
    }
  }

  LinkState state_ = LinkState::idle;
  std::string failure_;
};

class MpiSender final : public MpiLink {
 public:
  using MpiLink::MpiLink;

 private:
  void start(uint64_t job, Tensor rows) override {
    request_ = group_.start_send(write_rows(job, rows), peer_, kTag);
  }
  bool advance() override { return request_.test().has_value(); }
};

class MpiReceiver final : public MpiLink {
 public:
  using MpiLink::MpiLink;

 private:
  void start(uint64_t job, Tensor rows) override {
    job_ = job;
    rows_ = rows;
  }

  bool advance() override {
    if (!request_.pending()) {
      const auto bytes = group_.probe(peer_, kTag);
      if (!bytes) return false;
      require(*bytes <= kFrameHeaderBytes + kRowsHeaderBytes + kMaxTransferBytes, "rank ", peer_, " sends ",
              *bytes, " bytes of rows, over the limit");
      request_ = group_.start_receive(*bytes, peer_, kTag);
    }
    const auto frame = request_.test();
    if (!frame) return false;
    const auto payload = read_frame(FrameType::visual_rows, *frame, kRowsHeaderBytes + kMaxTransferBytes);
    if (job_of_rows(payload) != job_) return false;
    read_rows(payload, job_, rows_);
    return true;
  }

  uint64_t job_ = 0;
  Tensor rows_;
};

}  // namespace

std::unique_ptr<VisualLink> make_mpi_sender(MpiGroup group, int peer) {
  return std::make_unique<MpiSender>(std::move(group), peer);
}

std::unique_ptr<VisualLink> make_mpi_receiver(MpiGroup group, int peer) {
  return std::make_unique<MpiReceiver>(std::move(group), peer);
}

}  // namespace uhd
