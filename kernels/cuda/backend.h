// One CUDA device: operations queued on one stream. Host code only; the kernels stand behind launchers.h.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <functional>
#include <map>
#include <optional>

#include "base/clock.h"
#include "kernels/backend.h"
#include "kernels/cuda/arena.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/staging.h"
#include "kernels/uniform_operations.h"

namespace uhd::cuda {

// A stream that does not order itself with the default stream.
class Stream {
 public:
  explicit Stream(int device);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// Activations are bf16, or f32 when options.compute is f32 (parity with the references). To pack fp8 for
// quantized activations is an Error where the device has no such products (before sm_89). An operation
// returns when its kernel is queued; what went wrong on the device shows at the next call that waits.
class Backend final : public UniformOperations<Backend, uhd::Backend> {
 public:
  explicit Backend(const BackendOptions& options);
  ~Backend() override;

  std::string description() const override;
  DType activation_dtype() const override { return activations_; }
  bool host_memory() const override { return false; }
  size_t free_memory() const override;
  size_t allocated() const override { return allocated_; }
  void reserve(size_t bytes) override;
  size_t reserved() const override { return arena_ ? arena_->bytes() : 0; }
  std::unique_ptr<uhd::Backend> rehearsal() const override;

  DeviceBuffer allocate(size_t bytes) override;
  void synchronize() override;
  std::unique_ptr<Readback> make_readback(size_t bytes) override;
  std::unique_ptr<uhd::Mark> make_mark() override;
  std::unique_ptr<Recording> record(const std::function<void()>& queue) override;
  void begin_range(const char* name) override;
  void end_range() override;
  void expect_rows(int64_t rows) override { expected_rows_ = rows; }
  void take_scratch() override;

  // The device becomes this thread's; the stream in whose order everything runs.
  cudaStream_t stream() const;
  // These do the same for copies to the host that are in nobody's order.
  cudaStream_t beside() const;

  // `look` is called again and again while a call waits for the device, and once behind that; it may throw to
  // end the wait: who has queued work that others must complete (collectives) looks whether they still can,
  // and did. `waited`: how long this wait has been looking, so that a pause of the process does not count.
  // No look forgets the owner's.
  using Look = std::function<void(Duration waited)>;
  void while_waiting(const void* owner, Look look);
  // Waits until the event's last record has been reached, with those looks.
  void wait_for(cudaEvent_t event);

 private:
  friend UniformOperations<Backend, uhd::Backend>;
  template <class Operation>
  void each(const Operation& operation) {
    queue(stream(), operation);
  }
  void each(const ops::Matmul& product) {
    stream();  // the device becomes this thread's
    if (product.out.elements() != 0) matmul_.run(product.out, product.x, product.w, product.options);
  }
  void each(const ops::PagedAttention& attention) {
    stream();
    attention_.queue(attention);
  }
  void each(const ops::PackedAttention& attention) {
    stream();
    attention_.queue(attention);
  }
  void prepare(const ops::Matmul& product) override {
    check_not_recording("a first product");
    stream();
    matmul_.prepare(product.out, product.x, product.w, product.options);
  }
  void do_upload(Tensor device, Tensor host) override;
  void do_download(Tensor host, Tensor device) override;
  Weight do_pack(Tensor host, WeightFormat format, Tensor whole) override;
  void release(void* data, size_t bytes) noexcept override;
  void wait();
  void look_until(const std::function<bool()>& done);
  void check_not_recording(const char* call) const;
  Weight pack_quantized(Tensor host, WeightFormat format, Tensor whole);

  const int device_;
  const DType activations_;
  const WeightFormat compute_;
  const bool graphs_;
  const bool quantize_activations_;
  bool recording_ = false;
  size_t allocated_ = 0;
  DeviceMemory reserved_;
  std::optional<Arena> arena_;  // gives out parts of reserved_
  Stream stream_;
  Stream uploads_;
  Stream beside_;
  Staging staging_;
  int64_t expected_rows_ = 0;
  ProductScratch scratch_{};  // scratch of the products that are expected
  std::array<DeviceBuffer, kScratchUses> scratch_memory_;
  Matmul matmul_;
  Attention attention_;
  std::map<const void*, Look> looks_;
};

}  // namespace uhd::cuda
