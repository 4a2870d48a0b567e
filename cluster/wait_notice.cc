#include "cluster/wait_notice.h"

#include "base/clock.h"
#include "base/log.h"

namespace uhd {

WaitNotice::WaitNotice(std::string what)
    : thread_([this, what = std::move(what)](const std::stop_token& stop) {
        constexpr Duration kFirst = std::chrono::seconds(5);
        const TimePoint begin = Clock::now();
        std::unique_lock lock(mutex_);
        for (Duration wait = kFirst;; wait *= 2) {
          changed_.wait_for(lock, stop, wait, [] { return false; });
          if (stop.stop_requested()) return;
          log_info("waiting for " + what, "seconds", static_cast<int>(seconds(Clock::now() - begin)));
        }
      }) {}

}  // namespace uhd
