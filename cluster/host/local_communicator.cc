#include "cluster/host/local_communicator.h"

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>

#include "cluster/host/rank_sum.h"

namespace uhd {
namespace {

// All threads arrive before any leaves. Once a rank has left the group, every thread that waits or comes gets
// an Error.
class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}

  void wait() {
    const uint32_t round = round_.load();
    fail_if(round & kClosed);
    if (arrived_.fetch_add(1) + 1 == size_) {
      arrived_.store(0);
      // close() may set its flag at any moment; the count wraps below it.
      uint32_t old = round;
      while (!round_.compare_exchange_weak(old, (old & kClosed) | ((old + 1) & ~kClosed))) {
      }
      round_.notify_all();
      return;
    }
    round_.wait(round);
    // Only the closed flag changed: nobody completed this round, and nobody will.
    fail_if(round_.load() == (round | kClosed));
  }

  void close() {
    round_.fetch_or(kClosed);
    round_.notify_all();
  }

 private:
  static constexpr uint32_t kClosed = 1u << 31;
  static void fail_if(bool closed) { require(!closed, "a rank of this group has left"); }

  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> round_{0};
};

// Messages of one sender to one receiver.
class Mailbox {
 public:
  void put(const void* data, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    {
      std::lock_guard lock(mutex_);
      messages_.emplace_back(begin, begin + bytes);
    }
    changed_.notify_one();
  }

  std::vector<std::byte> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !messages_.empty(); });
    require(!messages_.empty(), "a rank of this group has left");
    auto message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<std::byte>> messages_;
  bool closed_ = false;
};

struct Group {
  explicit Group(int n)
      : size(n),
        barrier(n),
        data(static_cast<size_t>(n)),
        bytes(static_cast<size_t>(n)),
        mail(static_cast<size_t>(n) * static_cast<size_t>(n)) {}
  Mailbox& mailbox(int from, int to) {
    return mail[static_cast<size_t>(from) * data.size() + static_cast<size_t>(to)];
  }

  const int size;
  Barrier barrier;
  // Each rank brings these to the collective between two barriers.
  std::vector<void*> data;
  std::vector<size_t> bytes;
  std::vector<Mailbox> mail;
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}
  ~LocalCommunicator() override {
    group_->barrier.close();
    for (Mailbox& m : group_->mail) m.close();
  }

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }

  // Rank r sums the r-th part of everyone's elements and writes it to everyone; nobody else touches that
  // part.
  void all_reduce(Tensor x) override {
    check_dense(x);
    if (size() == 1) return;
    meet(x);
    const size_t n = static_cast<size_t>(x.elements());
    const size_t ranks = static_cast<size_t>(size());
    const size_t begin = n * static_cast<size_t>(rank_) / ranks;
    const size_t end = n * static_cast<size_t>(rank_ + 1) / ranks;
    const size_t offset = begin * size_of(x.dtype());
    const size_t length = (end - begin) * size_of(x.dtype());
    std::vector<const void*> parts;
    for (void* p : group_->data) parts.push_back(static_cast<const char*>(p) + offset);
    void* mine = static_cast<char*>(x.raw()) + offset;
    sum_in_rank_order(x.dtype(), mine, parts, end - begin);
    for (void* p : group_->data) {
      if (p != x.raw() && length > 0) std::memcpy(static_cast<char*>(p) + offset, mine, length);
    }
    group_->barrier.wait();
  }

  void all_gather(Tensor out, Tensor x) override {
    check(out.dense() && out.dtype() == x.dtype() && out.elements() == x.elements() * size(),
          "all_gather needs room for every rank's tensor");
    meet(x);
    for (size_t r = 0; r < group_->data.size(); ++r) {
      copy(static_cast<char*>(out.raw()) + r * x.bytes(), group_->data[r], x.bytes());
    }
    group_->barrier.wait();
  }

  void broadcast(Tensor x, int root) override {
    check_peer(root);
    meet(x);
    if (rank_ != root) copy(x.raw(), group_->data[static_cast<size_t>(root)], x.bytes());
    group_->barrier.wait();
  }

  void send(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    group_->mailbox(rank_, peer).put(x.raw(), x.bytes());
  }

  void receive(Tensor x, int peer) override {
    check_peer(peer);
    check_dense(x);
    const auto message = group_->mailbox(peer, rank_).take();
    check(message.size() == x.bytes(), "rank ", peer, " sent ", message.size(), " bytes, ", x.bytes(),
          " were expected");
    copy(x.raw(), message.data(), message.size());
  }

  void barrier() override { group_->barrier.wait(); }

 private:
  // Shows this rank's tensor to the others; all must have come with equal sizes.
  void meet(Tensor x) {
    check_dense(x);
    const auto r = static_cast<size_t>(rank_);
    group_->data[r] = x.raw();
    group_->bytes[r] = x.bytes();
    group_->barrier.wait();
    for (size_t bytes : group_->bytes) {
      check(bytes == x.bytes(), "ranks came to a collective with ", x.bytes(), " and ", bytes, " bytes");
    }
  }
  static void check_dense(Tensor x) { check(x.dense(), "communicators take dense tensors"); }
  void check_peer(int peer) const { check(peer >= 0 && peer < size(), "there is no rank ", peer); }
  static void copy(void* to, const void* from, size_t bytes) {
    if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
  }

  std::shared_ptr<Group> group_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_communicators(int size) {
  check(size > 0, "a group has at least one rank");
  auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.reserve(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) ranks.push_back(std::make_unique<LocalCommunicator>(group, r));
  return ranks;
}

}  // namespace uhd
