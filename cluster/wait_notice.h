// Logs what this rank waits for when it waits long.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace uhd {

// A WaitNotice stands around a wait that may never end, for example for ranks that never start. It has a
// thread of its own; after some seconds, and then less and less often, the log says "waiting for ...".
class WaitNotice {
 public:
  explicit WaitNotice(std::string what);
  WaitNotice(const WaitNotice&) = delete;
  WaitNotice& operator=(const WaitNotice&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // ends first
};

}  // namespace uhd
