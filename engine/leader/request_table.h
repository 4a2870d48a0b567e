// The requests that live on the leader, and how they end. The engine's thread works on them; the watchdog may
// end them all while a step hangs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "engine/leader/leader_state.h"
#include "engine/leader/live_request.h"
#include "engine/leader/mailbox.h"
#include "engine/metrics.h"

namespace uhd {

// Locked by the engine's thread (std::lock_guard) for as long as it runs, but for away(): whoever else has
// the lock then finds every request between two of its events. References are borrowed.
class RequestTable {
 public:
  // `release` lets go of what others hold for a request that has ended; `on_lost` follows fail().
  RequestTable(LeaderState& state, Mailbox& mailbox, Metrics& metrics,
               std::function<void(const LiveRequest&)> release, std::function<void()> on_lost);

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  // Does something long while others may have the lock. Throws when ranks were lost meanwhile.
  template <class Work>
  void away(const Work& work) {
    {
      const Away gone(mutex_);
      work();
    }
    check(!state_.failed, "the step ended after its deadline");
  }

  // All that follows needs the lock, but for fail().
  LiveRequest& add(std::unique_ptr<LiveRequest> request);
  bool empty() const { return live_.empty(); }
  // Returns whether a request has one.
  bool has_timelines() const { return timelines_ > 0; }
  // Returns null when the request has ended.
  LiveRequest* find(RequestId id) const;
  // The request that a sequence answers, and which of its answers it is; null when the request has ended.
  struct Place {
    LiveRequest* request = nullptr;
    int answer = 0;
  };
  Place find_sequence(SequenceId id) const;

  template <class Look>
  void for_each(const Look& look) const {
    for (const auto& [id, request] : live_) look(*request);
  }

  // Does something for one request: an exception ends that request, and nothing else.
  template <class Work>
  void guarded(RequestId id, const Work& work) {
    try {
      work();
    } catch (const std::exception& e) {
      log_error("a request failed", "id", id, "reason", e.what());
      end(id, FinishReason::error, internal_error());
    }
  }
  // Ends every answer of the request; unknown ids are ignored.
  void end(RequestId id, FinishReason reason, const std::optional<Failure>& failure);
  void end_all(FinishReason reason);
  // The request has sent its last event: everything it held is free.
  void retire(RequestId id);

  // From any thread, without the lock: ranks are lost, nothing more can be computed. Every stream ends with
  // an error.
  void fail(const std::string& reason);

 private:
  class Away {
   public:
    explicit Away(std::mutex& mutex) : mutex_(mutex) { mutex_.unlock(); }
    ~Away() { mutex_.lock(); }
    Away(const Away&) = delete;
    Away& operator=(const Away&) = delete;

   private:
    std::mutex& mutex_;
  };
  static Failure internal_error();

  LeaderState& state_;
  Mailbox& mailbox_;
  Metrics& metrics_;
  std::function<void(const LiveRequest&)> release_;
  std::function<void()> on_lost_;
  std::mutex mutex_;
  std::map<RequestId, std::unique_ptr<LiveRequest>> live_;
  int timelines_ = 0;  // live requests that have a timeline
};

}  // namespace uhd
