// A Scratch holds memory that an operation needs for its own duration: it grows to the largest shape met,
// then stays.
#pragma once

#include <cstddef>
#include <utility>

#include "kernels/cpu/memory.h"

namespace uhd::cpu {

class Scratch {
 public:
  Scratch() = default;
  ~Scratch() {
    if (data_ != nullptr) release_memory(data_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Returns at least `bytes` bytes, 64-byte aligned. The old contents are lost when it grows.
  std::byte* take(size_t bytes) {
    if (bytes > bytes_) {
      if (data_ != nullptr) release_memory(std::exchange(data_, nullptr), std::exchange(bytes_, 0));
      data_ = allocate_memory(bytes);
      bytes_ = bytes;
    }
    return static_cast<std::byte*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace uhd::cpu
