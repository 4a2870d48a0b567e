// Rows of visual tokens from one encoder to the leader, one agreed transfer at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/tensor.h"

namespace uhd {

// A new link may have to meet its peer first: its owner polls it until it is no longer connecting.
enum class LinkState : uint8_t { connecting, idle, busy, done, failed };

enum class LinkEnd : uint8_t { sends, receives };

// One end of a link; the leader's end receives, the encoder's sends. Job, rows, width and type are agreed
// over the control channel first (Encoded, Go), so both ends begin() with equal shape; what arrives is
// checked against that agreement and its checksum. Whether the values are finite is the leader's to check.
//
//   link.begin(job, rows);                         // [rows, width], dense, f32 or bf16
//   while (link.poll() == LinkState::busy) ...     // from the engine's loop; never blocks
//
// The tensor lies in memory that the link reaches (reaches_device) and must stay until poll() says done or
// failed, or the link is destroyed: destruction aborts a transfer and returns only when the memory will not
// be touched again, however long that takes. Who must not wait calls abort() first and polls until failed. A
// failed link stays failed; a new one comes with the next Hello.
//
// Used by one thread, its owner: the engine's, which on MPI ranks is the MPI thread and calls MPI itself.
// What may wait inside a library (NCCL) is called by a thread of the link's own.
class VisualLink {
 public:
  virtual ~VisualLink() = default;
  // Whether rows lie in device memory (NCCL) or in host memory (MPI, TCP).
  virtual bool reaches_device() const { return false; }
  // Not while connecting or busy.
  virtual void begin(uint64_t job, Tensor rows) = 0;
  // done is said until the next begin().
  virtual LinkState poll() = 0;
  // Begins to end the link, whatever it is doing, and does not wait: poll() says failed once nothing touches
  // the tensor any more. No begin() afterwards.
  virtual void abort() = 0;
  // Why it failed, once poll() has said so.
  virtual std::string failure() const = 0;
};

// The largest transfer either end accepts.
constexpr size_t kMaxTransferBytes = size_t{256} << 20;

}  // namespace uhd
