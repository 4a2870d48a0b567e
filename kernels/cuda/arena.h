// One piece of memory, given out in parts. Host arithmetic alone: the memory itself is never touched.
#pragma once

#include <cstddef>
#include <map>

namespace uhd::cuda {

// The first gap that is large enough, from the beginning on: the same calls in the same order get the same
// places, in a small arena and in a large one, as long as they fit. Used by one thread.
class Arena {
 public:
  // Borrows the memory, whose address must be a multiple of kUnit.
  Arena(void* memory, size_t bytes);

  // Null: no gap is so large. What is asked for is rounded up to kUnit, so that every part is aligned to it.
  void* take(size_t bytes);
  // A part with the size that was asked for. False: it is not from here.
  bool give_back(void* part, size_t bytes);

  size_t bytes() const { return bytes_; }
  size_t left() const { return left_; }  // in all gaps together
  size_t peak() const { return peak_; }  // the least bytes() that would have done so far

  static constexpr size_t kUnit = 256;  // as cudaMalloc aligns

 private:
  std::byte* const memory_;
  const size_t bytes_;
  size_t left_;
  size_t peak_ = 0;
  std::map<size_t, size_t> gaps_;  // where and how long; never two in touch
};

}  // namespace uhd::cuda
