// This file defines the compute threads of the CPU backend: a fixed pool and one parallel loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace uhd {

// A LoopBody borrows a callable void(int64_t begin, int64_t end). It allocates nothing and is valid for the
// duration of the call.
class LoopBody {
 public:
  template <class F>
  LoopBody(const F& body)  // NOLINT(google-explicit-constructor): it is meant to bind lambdas
      : object_(&body),
        call_([](const void* o, int64_t b, int64_t e) { (*static_cast<const F*>(o))(b, e); }) {}
  void operator()(int64_t begin, int64_t end) const { call_(object_, begin, end); }

 private:
  const void* object_;
  void (*call_)(const void*, int64_t, int64_t);
};

// Workers spin briefly for the next loop and then sleep, so that idle ranks and oversubscribed machines lose
// nothing. The calling thread works too, and waits only for chunks that a worker has really begun: a worker
// that wakes late costs nothing. ThreadPool(1) has no threads of its own. Loops come from one thread at a
// time and do not nest.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body on disjoint ranges that cover [0, count) and returns when all are done. Each range is at most
  // `grain` long (the last one may be shorter). The body must not throw. Threads take chunks from a shared
  // counter, so uneven work balances.
  void parallel_for(int64_t count, int64_t grain, LoopBody body);

 private:
  void work();
  // Takes chunks until none is left, and returns how many it did.
  int64_t run_chunks();

  std::vector<std::jthread> workers_;
  int spins_ = 0;
  // `left_` counts the chunks that nobody has taken. The thread that lowers it owns a chunk, and with it the
  // right to read the loop's fields below: the loop cannot end before that chunk is counted in `done_`.
  alignas(64) std::atomic<int64_t> left_{0};
  alignas(64) std::atomic<int> done_{0};
  alignas(64) std::atomic<int> epoch_{0};  // grows with each loop; sleeping workers wait for it to change
  std::atomic<bool> stopping_{false};
  const LoopBody* body_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  int64_t chunks_ = 0;
};

}  // namespace uhd
