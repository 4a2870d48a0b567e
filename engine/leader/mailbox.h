// Others reach the engine's thread by mail: requests, cancellations, cut images, questions, and plain
// wake-ups.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "engine/leader/cache_question.h"
#include "engine/leader/cut_queue.h"
#include "engine/leader/live_request.h"

namespace uhd {

struct CancelRequest {
  RequestId id = 0;
};
using Mail = std::variant<std::unique_ptr<LiveRequest>, CancelRequest, CutImage, CacheQuestion>;

// Unbounded: what is posted is bounded by the requests that were accepted, each of which is sent, cut and
// cancelled once, and by the one question about caches that may be asked.
class Mailbox {
 public:
  // Returns false once the mailbox is closed.
  bool post(Mail mail) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return false;
      mail_.push_back(std::move(mail));
    }
    changed_.notify_one();
    return true;
  }
  void wake() {
    {
      std::lock_guard lock(mutex_);
      woken_ = true;
    }
    changed_.notify_one();
  }
  // Nothing is taken any more; what is there can still be taken out.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  std::vector<Mail> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(mail_, {});
  }
  // Waits until something was posted, somebody woke, or the time has come.
  void wait_until(TimePoint until) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, until, [&] { return woken_ || !mail_.empty(); });
    woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Mail> mail_;
  bool woken_ = false;
  bool closed_ = false;
};

}  // namespace uhd
