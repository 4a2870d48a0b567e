#include "app/stop_signals.h"

#include <pthread.h>
#include <unistd.h>

#include <utility>

#include "base/log.h"

namespace uhd {

StopSignals::StopSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  watcher_ = std::thread([this] { watch(); });
}

StopSignals::~StopSignals() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pthread_kill(watcher_.native_handle(), SIGINT);  // one of those it waits for
  watcher_.join();
}

void StopSignals::count() {
  std::lock_guard lock(mutex_);
  mode_ = Mode::count;
}

void StopSignals::ignore() {
  std::lock_guard lock(mutex_);
  mode_ = Mode::ignore;
}

void StopSignals::on_hangup(std::function<void()> call) {
  std::lock_guard lock(mutex_);
  hangup_ = std::move(call);
  if (hangup_ && std::exchange(hung_up_, false)) hangup_();
}

int StopSignals::wait(int seen, Duration limit) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, limit, [&] { return count_ > seen; });
  return count_;
}

void StopSignals::watch() {
  for (;;) {
    siginfo_t info{};
    const int signal = sigwaitinfo(&signals_, &info);
    if (signal < 0) continue;
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    const bool sent = info.si_code != SI_KERNEL;
    if (signal == SIGHUP && sent) {
      if (hangup_) hangup_();
      hung_up_ = !hangup_;
      continue;
    }
    if (mode_ == Mode::end_process) {
      flush_log();
      _exit(0);  // it was asked to
    }
    if (mode_ == Mode::count) {
      ++count_;
      changed_.notify_all();
    }
  }
}

}  // namespace uhd
