// Implements streams, events and graphs of the CUDA stand-in as queues of closures. streams.h says what a
// test may rely on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "emulation/streams.h"

namespace uhd::emulation {

struct StreamState;

struct EventState {
  std::shared_ptr<StreamState> stream;  // the stream where it was recorded last
  uint64_t recorded = 0;                // the number of records
  uint64_t done = 0;                    // the last record that was reached
  double reached_ms = 0;
};

struct Task {
  std::string what;
  std::function<void()> work;
  std::function<bool()> step;  // replaces work: it is called again and again until it says that it is done
  std::vector<std::pair<const void*, uint64_t>> buffers;  // each address, and the number of its allocation
  std::shared_ptr<EventState> event;                      // the event to record, or to wait for
  uint64_t turn = 0;                                      // the number of the record
  bool waits = false;
};

struct GraphState {
  std::thread::id recorder;
  std::vector<Task> tasks;
  bool broken = false;
};

struct StreamState {
  int device = 0;
  std::thread::id creator;
  std::deque<Task> tasks;
  uint64_t queued = 0;
  uint64_t finished = 0;
  bool running = false;
  std::shared_ptr<GraphState> capture;
};

// counts() reads these.
struct Counters {
  std::atomic<uint64_t> stream_waits, unpinned_reads, taken, freed;
};
Counters& counters();

// Returns the one lock over all states, which is never held while work runs.
std::mutex& queue_mutex();

// Runs the stream's work until `enough`, or until none is left. The lock is held on entry and on return.
void drain(std::unique_lock<std::mutex>& lock, StreamState& stream, const std::function<bool()>& enough);
// Runs everything queued on a device (-1: on all) so far.
void drain_device(int device);
// Runs the first task queued in each stream of a device that nobody runs. Returns false if there was none.
bool advance_device(int device);
bool has_streams(int device);
// Appends to the stream or to its graph, and may run something, as set_stream_order says.
cudaError_t append(const std::shared_ptr<StreamState>& stream, Task task);
void run_task(const Task& task);
bool capturing_on_this_thread();

std::shared_ptr<StreamState> state_of(cudaStream_t stream);  // null for one that was destroyed
std::shared_ptr<StreamState> new_stream();
void forget_stream(const std::shared_ptr<StreamState>& stream);

// Returns the allocation number of the live buffer that holds p, or 0.
uint64_t buffer_number(const void* p);
// Returns the buffer's device, or -1 if it is pinned or none of this process's.
int buffer_device(const void* p);

}  // namespace uhd::emulation
