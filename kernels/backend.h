// One device: its memory, and the operations (kernels/operations.h), run in order on the device's stream.
//
// Threads: one thread at a time uses a backend. Errors: a contract that the caller breaks is an Error. A
// fault on a device, such as an index outside its tensor, is found later: then the next call that waits
// throws and the backend is lost.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kernels/operations.h"

namespace uhd {

struct BackendOptions {
  std::string kind = "cpu";  // cpu | cuda | auto
  int threads = 0;           // 0: every core this process may use
  std::string isa = "auto";  // CPU only: auto | amx | avx512_bf16 | avx512 | avx2 | scalar
  // CUDA only: which of the devices that this process sees; -1: by local_rank, round and round.
  int device = -1;
  int local_rank = 0;  // the number of this rank among those of its host
  // CUDA only: auto (tensor cores where they fit) | plain | flashinfer (its kernels, where they are built and
  // fit, else as auto)
  std::string attention = "auto";
  bool graphs = true;  // CUDA only: record() records
  // Products with int8 weights quantize the activations too, each row by a scale of its own. On CUDA those of
  // more than a few rows do, and fp8 as well (kernels/cuda/quantized_activations.h), which needs a device of
  // sm_89 or later; on the CPU all (kernels/cpu/table.h), so that a row's bits do not depend on others.
  bool quantize_activations = false;
  // packed_attention forms its products, where both operands are activations, in this type. On CUDA also the
  // type of activations. f32 or bf16.
  WeightFormat compute = WeightFormat::bf16;
};

// Operations that were recorded once: run() queues them all again, on the same tensors with what these hold
// then. Values that the host passed (sizes, scales, offsets) stay as they were.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void run() = 0;
};

// A place in the order of what is queued.
class Mark {
 public:
  virtual ~Mark() = default;
  // Behind everything queued so far.
  virtual void set() = 0;
  // Returns whether the device has come to where the mark was set last; true before that. Never waits; from
  // any thread.
  virtual bool reached() const = 0;
};

// Host memory that the device fills by itself.
class Readback {
 public:
  virtual ~Readback() = default;
  // Queues the copy of a dense tensor. The copy before it is void then.
  virtual void begin(Tensor device) = 0;
  // Begins beside what is queued, for a tensor that nothing queued still writes.
  virtual void begin_beside(Tensor device) = 0;
  // Returns whether wait() would wait for nothing.
  virtual bool ready() const = 0;
  // Waits for what was queued up to begin() and for nothing after it. Valid until the next begin().
  virtual Tensor wait() = 0;
};

// Memory that was wanted and is not there.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

struct PackedSizes {
  size_t data = 0;
  size_t scales = 0;  // none: 0
  bool operator==(const PackedSizes&) const = default;
};

class Backend : public Operations {
 public:
  virtual std::string description() const = 0;  // returns a text for logs: "cpu avx512_bf16, 2 threads"
  virtual DType activation_dtype() const = 0;
  // Returns whether tensors lie in memory that the host, and what moves host memory, may touch, and whether
  // operations are done when they return. Where not, upload and download are the only ways in and out.
  virtual bool host_memory() const = 0;
  // Bytes that allocate() could still give of the device's own memory; 0 where tensors take the host's.
  virtual size_t free_memory() const = 0;
  // Bytes that allocate() gave and that were not given back.
  virtual size_t allocated() const = 0;

  // Takes that much of the device in one piece, from which allocate() gives from now on, and from the rest of
  // the device only what no longer fits. Once, before what it is for; OutOfMemory where it is not there. It
  // does nothing on the host.
  virtual void reserve(size_t) {}
  // Returns what reserve() took; a rehearsal returns what it would have to take.
  virtual size_t reserved() const { return 0; }
  // A stand-in with what this device has free now, which takes no memory, reads none and computes nothing:
  // what is built on it shows what the same will take here. The result is null where there is nothing to plan
  // because memory is the host's.
  virtual std::unique_ptr<Backend> rehearsal() const { return nullptr; }
  // Returns whether this is a rehearsal, which does not look at values that are uploaded or packed.
  virtual bool rehearses() const { return false; }

  // allocate() returns uninitialised memory, or throws OutOfMemory, which tells the numbers. upload/download
  // copy between dense host tensors and device tensors of equal shape and dtype. When upload returns, the
  // host tensor may be changed. Only download and synchronize wait for the device.
  virtual DeviceBuffer allocate(size_t bytes) = 0;
  void upload(Tensor device, Tensor host);
  void download(Tensor host, Tensor device);
  virtual void synchronize() = 0;
  // Room for tensors of up to so many bytes.
  virtual std::unique_ptr<Readback> make_readback(size_t bytes) = 0;
  virtual std::unique_ptr<Mark> make_mark() = 0;
  // Records the operations that `queue` calls, instead of running them. They must have run before in the same
  // shapes, and are operations alone: to allocate, upload, download or wait is an Error. The result is null
  // where this backend does not record; `queue` was not called then. Must not outlive the backend.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& queue) = 0;
  // The calls of this thread between the two are named for tools that watch the device; ranges nest. Use
  // ProfilerRange.
  virtual void begin_range(const char*) {}
  virtual void end_range() {}
  // Packs a host matrix [N,K] (f32, bf16 or f16; rows may be spaced, so that a shard of a mapped file packs
  // in place). A shard of columns names the `whole` matrix they are of, so that it is quantized as the whole
  // would be.
  Weight pack(Tensor host, WeightFormat format, Tensor whole = {});
  // Packs matrices of equal width one under another, with zero rows below up to `rows` in all, from where
  // they lie. Only where packs_parts(format): elsewhere one matrix has to be made of them first.
  Weight pack_parts(std::span<const Tensor> parts, WeightFormat format, int64_t rows);
  virtual bool packs_parts(WeightFormat) const { return false; }
  // Bytes of the two buffers of a packed weight; none where it cannot be made of bytes that an equal backend
  // packed before and the host has kept since.
  virtual std::optional<PackedSizes> packed_sizes(int64_t, int64_t, WeightFormat) const { return {}; }
  // Products with what is packed from now on have at most so many rows; take_scratch() then takes all memory
  // that they need beside their operands. Without it they take it when they first need it. It does nothing on
  // the host.
  virtual void expect_rows(int64_t) {}
  virtual void take_scratch() {}

 private:
  friend class DeviceBuffer;
  // upload, download, pack and pack_parts check the contract (contracts.h) and call these.
  virtual void do_upload(Tensor device, Tensor host) = 0;
  virtual void do_download(Tensor host, Tensor device) = 0;
  virtual Weight do_pack(Tensor host, WeightFormat format, Tensor whole) = 0;
  virtual Weight do_pack_parts(std::span<const Tensor> parts, WeightFormat format, int64_t rows);
  virtual void release(void* data, size_t bytes) noexcept = 0;
};

// A range of calls for as long as it lives. `name` outlives it.
class ProfilerRange {
 public:
  ProfilerRange(Backend& backend, const char* name) : backend_(backend) { backend.begin_range(name); }
  ~ProfilerRange() { backend_.end_range(); }
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;

 private:
  Backend& backend_;
};

// An unknown kind, or one this machine lacks, is an Error that says so. auto: CUDA where it works, else the
// CPU.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace uhd
