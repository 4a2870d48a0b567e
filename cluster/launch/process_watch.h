// Tells at once when a process of this host has ended, in whatever way: neither MPI nor a launcher that was
// told to go on without a lost rank does that.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace uhd {

// A ProcessId names a process, even after its number was given to another one.
struct ProcessId {
  int32_t pid = 0;
  uint64_t started = 0;  // ticks of the kernel from boot to its start
  uint64_t space = 0;    // the space of process numbers; processes of another one cannot be watched
};
ProcessId process_of(int32_t pid);
ProcessId own_process();

// The watch has a thread of its own, which calls `ended` once for each process that has ended, with the
// number of the peer (its place in `peers`). A process that is stopped has not ended. Where the kernel cannot
// watch processes (before Linux 5.3), the log says so and nothing is called.
class ProcessWatch {
 public:
  ProcessWatch(const std::vector<ProcessId>& peers, std::function<void(size_t peer)> ended);
  // Nothing is called after the destructor. `ended` itself must not destroy the watch.
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;

 private:
  void run();

  std::vector<int> files_;  // one for each peer, -1 once it has ended; then the one that ends the thread
  std::function<void(size_t)> ended_;
  std::thread thread_;
};

}  // namespace uhd
