// Watches the steps of the LLM ranks from a thread of its own, because the engine's thread is the one that
// hangs.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "cluster/encoders/liveness.h"

namespace uhd {

// The engine's thread calls started() and finished() around each step. on_overdue(step) is called once, on
// the watchdog's thread; it ends streams and the process, and cannot save the step.
class Watchdog {
 public:
  Watchdog(Duration deadline, std::function<void(uint64_t step)> on_overdue);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void started(uint64_t step);
  void finished();
  // Returns true if a step ended within the last `window`.
  bool answered_within(Duration window) const;

 private:
  void run(const std::stop_token& stop);

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  StepLiveness steps_;
  bool asleep_ = false;  // true until a step starts
  std::function<void(uint64_t)> on_overdue_;
  std::jthread thread_;
};

}  // namespace uhd
