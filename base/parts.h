// Work in parts: a coroutine that stops at places of its own, so that whoever runs it can do something else
// in between.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

#include "base/error.h"

namespace uhd {

// A function that returns Parts is the work. Each `co_yield Parts::Pause{}` in it ends a part. It begins at
// the first advance(), so what its arguments refer to must outlive it. To destroy it is to leave it where it
// stands: its locals are released.
//
// Not thread-safe.
class [[nodiscard]] Parts {
 public:
  struct Pause {};
  struct promise_type {
    Parts get_return_object() { return Parts(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(Pause) noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { failure = std::current_exception(); }
    std::exception_ptr failure;
  };

  Parts() = default;
  Parts(Parts&& o) noexcept : work_(std::exchange(o.work_, nullptr)) {}
  Parts& operator=(Parts&& o) noexcept {
    std::swap(work_, o.work_);
    return *this;
  }
  ~Parts() {
    if (work_) work_.destroy();
  }

  // Returns whether there is something left to do.
  explicit operator bool() const { return work_ && !work_.done(); }
  // Does the next part; there must be one. Returns whether more are left, and throws what the work threw.
  bool advance() {
    check(static_cast<bool>(*this), "the work is done");
    work_.resume();
    if (work_.promise().failure) std::rethrow_exception(std::exchange(work_.promise().failure, nullptr));
    return !work_.done();
  }
  // Does all that is left.
  void finish() {
    while (*this) advance();
  }

 private:
  explicit Parts(std::coroutine_handle<promise_type> work) : work_(work) {}

  std::coroutine_handle<promise_type> work_;
};

}  // namespace uhd
