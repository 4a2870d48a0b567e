// Tells AddressSanitizer that a thread continues on another stack. Without this, an exception that unwinds a
// fiber leaves the marks of its frames behind, and the next user of the stack is blamed. It does nothing if
// that sanitizer is not built in.
#pragma once

#include <cstddef>

#if defined(UHD_ADDRESS_SANITIZED)
#include <sanitizer/common_interface_defs.h>
#endif

namespace uhd::emulation {

// A StackSwitch stands for a stack that a thread leaves and comes back to. That thread uses it.
class StackSwitch {
 public:
  // Call this before the switch to the stack [bottom, bottom + bytes).
  void leave(const void* bottom, size_t bytes) {
#if defined(UHD_ADDRESS_SANITIZED)
    __sanitizer_start_switch_fiber(&fake_stack_, bottom, bytes);
#else
    static_cast<void>(bottom), static_cast<void>(bytes);
#endif
  }
  // Call this after the switch back here, or the first one to here: `from` is the stack that was left.
  void arrive(const void** from = nullptr, size_t* bytes = nullptr) {
#if defined(UHD_ADDRESS_SANITIZED)
    __sanitizer_finish_switch_fiber(fake_stack_, from, bytes);
#else
    static_cast<void>(from), static_cast<void>(bytes);
#endif
  }

 private:
  [[maybe_unused]] void* fake_stack_ = nullptr;
};

}  // namespace uhd::emulation
