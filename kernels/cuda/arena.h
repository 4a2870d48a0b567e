// An Arena gives out one piece of memory in parts. It is host arithmetic alone, and never touches the memory
// itself.
#pragma once

#include <cstddef>
#include <map>

namespace uhd::cuda {

// A part goes into the first gap that is large enough, from the beginning on: the same calls in the same
// order get the same places, in a small arena and in a large one, as long as they fit. One thread uses it.
class Arena {
 public:
  // Borrows the memory, whose address must be a multiple of kUnit.
  Arena(void* memory, size_t bytes);

  // Returns a part, or null if no gap is so large. The size is rounded up to kUnit, so that every part is
  // aligned to it.
  void* take(size_t bytes);
  // Takes back a part with the size that was asked for. Returns false if it is not from here.
  bool give_back(void* part, size_t bytes);

  size_t bytes() const { return bytes_; }
  size_t left() const { return left_; }  // bytes of all gaps together
  size_t peak() const { return peak_; }  // the least bytes() that would have sufficed so far

  static constexpr size_t kUnit = 256;  // the alignment of cudaMalloc

 private:
  std::byte* const memory_;
  const size_t bytes_;
  size_t left_;
  size_t peak_ = 0;
  std::map<size_t, size_t> gaps_;  // the size of each gap by its place; no two touch
};

}  // namespace uhd::cuda
