#include "cluster/encoders/tcp_visual_link.h"

#include <utility>

#include "base/error.h"
#include "cluster/host/visual_rows.h"

namespace uhd {

void LinkPort::open(Send send) {
  std::lock_guard lock(mutex_);
  send_ = std::move(send);
}

int64_t LinkPort::limit(FrameType type) const {
  std::lock_guard lock(mutex_);
  const bool awaited = type == FrameType::visual_rows && !expected_bytes_.empty();
  return awaited ? static_cast<int64_t>(expected_bytes_.front()) : -1;
}

void LinkPort::arrived(std::vector<std::byte> payload) {
  std::lock_guard lock(mutex_);
  if (expected_bytes_.empty()) return;  // no longer wanted since limit() was asked
  expected_bytes_.pop_front();
  payloads_.push_back(std::move(payload));
}

void LinkPort::fail(const std::string& reason) {
  std::lock_guard lock(mutex_);
  send_ = {};
  if (!failure_) failure_ = reason;
}

void LinkPort::expect(size_t payload_bytes) {
  std::lock_guard lock(mutex_);
  expected_bytes_.push_back(payload_bytes);
}

void LinkPort::expect_nothing() {
  std::lock_guard lock(mutex_);
  expected_bytes_.clear();
}

std::optional<std::vector<std::byte>> LinkPort::take() {
  std::lock_guard lock(mutex_);
  if (payloads_.empty()) return std::nullopt;
  std::vector<std::byte> payload = std::move(payloads_.front());
  payloads_.pop_front();
  return payload;
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

// The rows are copied into a frame, so the tensor is free at once; Done says that they arrived.
class TcpSender final : public VisualLink {
 public:
  explicit TcpSender(std::shared_ptr<LinkPort> port) : port_(std::move(port)) {}

  void begin(uint64_t job, Tensor rows, const Mark*) override {
    port_->send(write_rows(job, rows));
    ++ended_;
  }
  LinkState poll() override {
    if (port_->failure()) return LinkState::failed;
    return ended_ == 0 ? LinkState::idle : LinkState::done;
  }
  uint64_t ended() const override { return ended_; }
  void abort() override { port_->fail(kEnded); }
  std::string failure() const override { return port_->failure().value_or(""); }

 private:
  std::shared_ptr<LinkPort> port_;
  uint64_t ended_ = 0;
};

class TcpReceiver final : public VisualLink {
 public:
  explicit TcpReceiver(std::shared_ptr<LinkPort> port) : port_(std::move(port)) {}
  ~TcpReceiver() override { port_->expect_nothing(); }

  void begin(uint64_t job, Tensor rows, const Mark*) override {
    check_room(transfers_.size());
    check_rows(rows);
    if (failed_) return;
    transfers_.push_back({job, rows});
    port_->expect(kRowsHeaderBytes + rows.bytes());
  }

  LinkState poll() override {
    if (failed_) return LinkState::failed;
    // Looked at first: rows that came before the connection was lost are as good as any.
    const uint64_t before = ended_;
    while (!transfers_.empty()) {
      const auto payload = port_->take();
      if (!payload || !accept(*payload)) break;
    }
    const bool all_came = ended_ > before && transfers_.empty();
    if (!all_came && port_->failure()) {
      fail();
      return LinkState::failed;
    }
    if (!transfers_.empty()) return LinkState::busy;
    return ended_ == 0 ? LinkState::idle : LinkState::done;
  }
  uint64_t ended() const override { return ended_; }

  // Tensors are written by poll() alone.
  void abort() override {
    port_->fail(kEnded);
    fail();
  }

  std::string failure() const override { return port_->failure().value_or(""); }

 private:
  struct Transfer {
    uint64_t job = 0;
    Tensor rows;
  };
  bool accept(std::span<const std::byte> payload) {
    try {
      read_rows(payload, transfers_.front().job, transfers_.front().rows);
      transfers_.pop_front();
      ++ended_;
      return true;
    } catch (const Error& e) {
      port_->fail(e.what());
      return false;
    }
  }
  void fail() {
    failed_ = true;
    transfers_.clear();
    port_->expect_nothing();
  }

  std::shared_ptr<LinkPort> port_;
  std::deque<Transfer> transfers_;
  uint64_t ended_ = 0;
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<VisualLink> make_tcp_sender(std::shared_ptr<LinkPort> port) {
  return std::make_unique<TcpSender>(std::move(port));
}

std::unique_ptr<VisualLink> make_tcp_receiver(std::shared_ptr<LinkPort> port) {
  return std::make_unique<TcpReceiver>(std::move(port));
}

}  // namespace uhd
