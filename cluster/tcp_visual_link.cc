#include "cluster/tcp_visual_link.h"

#include <utility>

#include "base/error.h"
#include "cluster/visual_rows.h"

namespace uhd {

void LinkPort::open(Send send) {
  std::lock_guard lock(mutex_);
  send_ = std::move(send);
}

int64_t LinkPort::limit(FrameType type) const {
  std::lock_guard lock(mutex_);
  const bool awaited = type == FrameType::visual_rows && expected_bytes_ > 0;
  return awaited ? static_cast<int64_t>(expected_bytes_) : -1;
}

void LinkPort::arrived(std::vector<std::byte> payload) {
  std::lock_guard lock(mutex_);
  expected_bytes_ = 0;
  payload_ = std::move(payload);
}

void LinkPort::fail(const std::string& reason) {
  std::lock_guard lock(mutex_);
  send_ = {};
  if (!failure_) failure_ = reason;
}

void LinkPort::expect(size_t payload_bytes) {
  std::lock_guard lock(mutex_);
  expected_bytes_ = payload_bytes;
}

std::optional<std::vector<std::byte>> LinkPort::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(payload_, std::nullopt);
}

bool LinkPort::send(std::vector<std::byte> frame) {
  std::lock_guard lock(mutex_);
  if (send_) send_(std::move(frame));
  return !failure_;
}

std::optional<std::string> LinkPort::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

namespace {

constexpr const char* kEnded = "the link was ended by its owner";

// The rows are copied into a frame, so the tensor is free at once; that they arrived is what Done says.
class TcpSender final : public VisualLink {
 public:
  explicit TcpSender(std::shared_ptr<LinkPort> port) : port_(std::move(port)) {}

  void begin(uint64_t job, Tensor rows) override {
    port_->send(write_rows(job, rows));
    state_ = LinkState::done;
  }
  LinkState poll() override { return port_->failure() ? LinkState::failed : state_; }
  void abort() override { port_->fail(kEnded); }
  std::string failure() const override { return port_->failure().value_or(""); }

 private:
  std::shared_ptr<LinkPort> port_;
  LinkState state_ = LinkState::idle;
};

class TcpReceiver final : public VisualLink {
 public:
  explicit TcpReceiver(std::shared_ptr<LinkPort> port) : port_(std::move(port)) {}
  ~TcpReceiver() override { port_->expect(0); }

  void begin(uint64_t job, Tensor rows) override {
    check(state_ != LinkState::busy, "a link does one transfer at a time");
    check_rows(rows);
    if (state_ == LinkState::failed) return;
    job_ = job;
    rows_ = rows;
    state_ = LinkState::busy;
    port_->expect(kRowsHeaderBytes + rows.bytes());
  }

  LinkState poll() override {
    if (state_ != LinkState::busy) {
      if (port_->failure()) state_ = LinkState::failed;
      return state_;
    }
    // Looked at first: rows that came before the connection was lost are as good as any.
    if (const auto payload = port_->take()) {
      accept(*payload);
    } else if (port_->failure()) {
      state_ = LinkState::failed;
    }
    return state_;
  }

  // The tensor is written by poll() alone.
  void abort() override {
    port_->expect(0);
    port_->fail(kEnded);
    state_ = LinkState::failed;
  }

  std::string failure() const override { return port_->failure().value_or(""); }

 private:
  void accept(std::span<const std::byte> payload) {
    try {
      read_rows(payload, job_, rows_);
      state_ = LinkState::done;
    } catch (const Error& e) {
      port_->fail(e.what());
      state_ = LinkState::failed;
    }
  }

  std::shared_ptr<LinkPort> port_;
  LinkState state_ = LinkState::idle;
  uint64_t job_ = 0;
  Tensor rows_;
};

}  // namespace

std::unique_ptr<VisualLink> make_tcp_sender(std::shared_ptr<LinkPort> port) {
  return std::make_unique<TcpSender>(std::move(port));
}

std::unique_ptr<VisualLink> make_tcp_receiver(std::shared_ptr<LinkPort> port) {
  return std::make_unique<TcpReceiver>(std::move(port));
}

}  // namespace uhd
