#include "cluster/encoders/watchdog.h"

namespace uhd {

Watchdog::Watchdog(Duration deadline, std::function<void(uint64_t step)> on_overdue)
    : steps_(deadline),
      on_overdue_(std::move(on_overdue)),
      thread_([this](const std::stop_token& s) { run(s); }) {}

Watchdog::~Watchdog() {
  thread_.request_stop();
  thread_.join();
}

void Watchdog::started(uint64_t step) {
  bool asleep = false;
  {
    std::lock_guard lock(mutex_);
    steps_.started(step, Clock::now());
    asleep = asleep_;
  }
  if (asleep) changed_.notify_one();
}

void Watchdog::finished() {
  std::lock_guard lock(mutex_);
  steps_.finished(Clock::now());
}

bool Watchdog::answered_within(Duration window) const {
  std::lock_guard lock(mutex_);
  const auto last = steps_.last_finished();
  return last && Clock::now() - *last <= window;
}

// finished() does not wake it: it looks again when its next tick is due, so steps cost a wake-up only when it
// sleeps without one.
void Watchdog::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (const auto step = steps_.tick(Clock::now())) {
      lock.unlock();
      on_overdue_(*step);
      lock.lock();
    } else if (const auto due = steps_.next_tick()) {
      changed_.wait_until(lock, stop, *due, [] { return false; });
    } else {
      asleep_ = true;
      changed_.wait(lock, stop, [&] { return steps_.next_tick().has_value(); });
      asleep_ = false;
    }
  }
}

}  // namespace uhd
