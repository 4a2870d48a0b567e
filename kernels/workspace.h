// Activations of one step: a bump arena sized once, forgotten at the step's end.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"

namespace uhd {

// A Workspace is not thread-safe: it belongs to the thread that runs the step. take() past the capacity is an
// Error that says how much was wanted: the size was found by running the largest step, so that is a bug, not
// a load condition.
class Workspace {
 public:
  Workspace(Backend& backend, size_t bytes);

  // Makes it larger by so many bytes, while nothing is taken.
  void enlarge(size_t bytes);

  // Device memory, uninitialised, 64-byte aligned, valid until the scope that took it ends.
  Tensor take(DType dtype, Shape shape);
  // Host values copied to the device (indices and offsets of a step).
  Tensor put(std::span<const int32_t> values);

  size_t used() const { return used_; }
  size_t peak() const { return peak_; }
  size_t capacity() const { return memory_.bytes(); }

  // Gives back on destruction what was taken since its construction.
  class Scope {
   public:
    explicit Scope(Workspace& w) : workspace_(w), mark_(w.used_) {}
    ~Scope() { workspace_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    size_t mark_;
  };

 private:
  Backend& backend_;
  DeviceBuffer memory_;
  size_t used_ = 0;
  size_t peak_ = 0;
};

}  // namespace uhd
