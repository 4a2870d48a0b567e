// Lets a thread wait for SIGINT and SIGTERM, and tells of SIGHUP.
#pragma once

#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"

namespace uhd {

// Make a StopSignals before any other thread exists: it blocks the signals, and threads inherit that. A
// process has one.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Until one of these is called, a signal ends the process at once, with status 0, but for a SIGHUP that was
  // sent.
  void count();   // counts signals from now on, for wait()
  void ignore();  // ignores signals from now on, for a rank that ends when its leader does
  // Calls this at each SIGHUP from now on, on a thread of its own, and at once if one came before. The
  // hang-up of a terminal stops the server as SIGTERM does.
  void on_hangup(std::function<void()> call);

  // Waits until more than `seen` signals have come, or for `limit`. Returns how many have come.
  int wait(int seen, Duration limit);

 private:
  enum class Mode : uint8_t { end_process, count, ignore };
  void watch();

  sigset_t signals_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Mode mode_ = Mode::end_process;
  bool stopping_ = false;
  int count_ = 0;
  bool hung_up_ = false;  // a SIGHUP came that nobody was told of
  std::function<void()> hangup_;
  std::thread watcher_;
};

}  // namespace uhd
