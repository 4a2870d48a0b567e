#include "base/thread_pool.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/error.h"

namespace uhd {
namespace {

// About 20 µs of spinning: longer than the gap between two operations of a decode step, short enough to give
// the core away when another process needs it.
constexpr int kSpins = 1000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Returns once the value differs from `old`.
void wait_while_equal(const std::atomic<int>& value, int old, int spins) {
  for (int spin = 0; spin < spins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  check(threads >= 1 && threads <= 1024, "a thread pool needs 1 to 1024 threads, not ", threads);
  // If there are more threads than cores, a spinning thread keeps the one it waits for from running.
  if (threads <= static_cast<int>(std::thread::hardware_concurrency())) spins_ = kSpins;
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
}

void ThreadPool::parallel_for(int64_t count, int64_t grain, LoopBody body) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  body_ = &body;
  count_ = count;
  grain_ = grain;
  chunks_ = (count + grain - 1) / grain;
  done_.store(0, std::memory_order_relaxed);
  left_.store(chunks_, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  const int others = static_cast<int>(chunks_ - run_chunks());
  for (int done = done_.load(std::memory_order_acquire); done != others;
       done = done_.load(std::memory_order_acquire)) {
    wait_while_equal(done_, done, spins_);
  }
}

void ThreadPool::work() {
  int seen = 0;
  for (;;) {
    wait_while_equal(epoch_, seen, spins_);
    seen = epoch_.load(std::memory_order_acquire);
    if (stopping_) return;
    if (const int64_t did = run_chunks(); did != 0) {
      done_.fetch_add(static_cast<int>(did), std::memory_order_acq_rel);
      done_.notify_one();
    }
  }
}

int64_t ThreadPool::run_chunks() {
  int64_t did = 0;
  int64_t left = left_.load(std::memory_order_relaxed);
  while (left > 0) {
    if (!left_.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    const int64_t begin = (chunks_ - left) * grain_;
    (*body_)(begin, std::min(begin + grain_, count_));
    ++did;
    left = left_.load(std::memory_order_relaxed);
  }
  return did;
}

}  // namespace uhd
