// What AddressSanitizer must be told when a thread goes on on another stack: without it, an exception that
// unwinds a fiber leaves the marks of its frames behind, and whoever uses the stack next is blamed. Nothing
// where that sanitizer is not built in.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace uhd::emulation {

// A stack that a thread leaves and comes back to. Used by that thread.
class StackSwitch {
 public:
  // Before the switch to the stack [bottom, bottom + bytes).
  void leave(const void* bottom, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_stack_, bottom, bytes);
#else
    static_cast<void>(bottom), static_cast<void>(bytes);
#endif
  }
  // After the switch back here, or the first one to here: `from` is the stack that was left.
  void arrive(const void** from = nullptr, size_t* bytes = nullptr) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack_, from, bytes);
#else
    static_cast<void>(from), static_cast<void>(bytes);
#endif
  }

 private:
  [[maybe_unused]] void* fake_stack_ = nullptr;
};

}  // namespace uhd::emulation
