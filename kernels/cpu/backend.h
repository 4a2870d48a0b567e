// The CPU: operations cut into tasks for the thread pool, each task a serial loop of the chosen instruction
// set.
#pragma once

#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/table.h"

namespace uhd::cpu {

struct Operand;  // matmul.cc

// Device memory is host memory; upload and download copy at once. The operations lie by family in
// matmul.cc, quantized.cc, attention.cc, norm.cc, elementwise.cc, rows.cc, select.cc and vision.cc.
class Backend final : public uhd::Backend {
 public:
  explicit Backend(const BackendOptions& options);
  // Takes loops of the caller's, which outlive it: tests count what they do.
  Backend(const BackendOptions& options, const Table& table);

  std::string description() const override;
  DType activation_dtype() const override { return DType::f32; }
  bool host_memory() const override { return true; }
  std::optional<PackedSizes> packed_sizes(int64_t n, int64_t k, WeightFormat format) const override;
  bool packs_parts(WeightFormat) const override { return true; }
  size_t free_memory() const override { return 0; }
  size_t allocated() const override { return allocated_; }

  DeviceBuffer allocate(size_t bytes) override;
  void synchronize() override {}
  std::unique_ptr<Readback> make_readback(size_t bytes) override;
  std::unique_ptr<Mark> make_mark() override;
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }

 private:
#define UHD_PERFORM(Name) void perform(const ops::Name& op) override;
  UHD_OPERATIONS(UHD_PERFORM)
#undef UHD_PERFORM
  void do_upload(Tensor device, Tensor host) override;
  void do_download(Tensor host, Tensor device) override;
  Weight do_pack(Tensor host, WeightFormat format, Tensor whole) override;
  Weight do_pack_parts(std::span<const Tensor> parts, WeightFormat format, int64_t rows) override;
  void release(void* data, size_t bytes) noexcept override;
  Operand pairs_of(Tensor x);
  Operand codes_of(Tensor x, std::span<RowCodes>& rows);
  Weight pack_quantized(std::span<const Tensor> parts, WeightFormat format, int64_t rows, Tensor whole);
  // body(row) for every row, in tasks of about kTaskElements.
  template <class Body>
  void for_rows(int64_t rows, int64_t row_elements, const Body& body) {
    constexpr int64_t kTaskElements = 16384;
    const int64_t grain = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, row_elements));
    pool_.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }

  const Table& table_;
  const bool bf16_attention_;  // packed_attention multiplies bfloat16
  const bool quantize_activations_;
  size_t allocated_ = 0;
  ThreadPool pool_;
  Scratch activations_;  // matmul: x as bfloat16; packed_attention: keys and values as operands
  PackedKeys packed_;
  std::vector<AttentionTask> tasks_;
  std::vector<TaskSpan> spans_;
  // It holds one row while its token is drawn.
  struct DrawScratch {
    std::vector<float> logits;
    std::vector<uint64_t> keys;
  };
  std::vector<DrawScratch> draws_;
};

}  // namespace uhd::cpu
