// A VisualLink carries rows of visual tokens from one encoder to the leader, in agreed transfers, of which
// many may be under way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace uhd {

// A new link may have to meet its peer first: its owner polls it until it is no longer connecting. A busy
// link has transfers that were begun and have not ended; in a done link all have.
enum class LinkState : uint8_t { connecting, idle, busy, done, failed };

enum class LinkEnd : uint8_t { sends, receives };

// These limit the largest transfer that either end accepts, and the number of transfers under way at once.
constexpr size_t kMaxTransferBytes = size_t{256} << 20;
constexpr uint64_t kMostTransfers = 64;

// A link has two ends; the leader's end receives, the encoder's sends. The control channel agrees on job,
// rows, width and type first (Encoded, Go), so both ends begin() with equal shapes in the same order.
// Arriving rows are checked against that agreement and their checksum. The leader checks whether the values
// are finite.
//
// link.begin(job, rows, after);                  // [rows, width], dense, f32 or bf16; as often as wanted
// link.poll(); ... link.ended() ...              // from the engine's loop; never blocks
//
// The tensor lies in memory that the link reaches (reaches_device). It must stay until the transfer has
// ended, poll() says failed, or the link is destroyed: destruction aborts transfers and returns only when the
// memory will not be touched again, however long that takes. An owner that must not wait calls abort() first
// and polls until failed. A failed link stays failed; a new one comes with the next Hello.
//
// One thread, its owner, uses a link: the engine's, which on MPI ranks is the MPI thread and calls MPI
// itself. Calls that may wait inside a library (NCCL) are made by a thread of the link's own.
class VisualLink {
 public:
  virtual ~VisualLink() = default;
  // Returns true if rows lie in device memory (NCCL), false for host memory (MPI, TCP).
  virtual bool reaches_device() const { return false; }
  // Begins a transfer; not allowed while connecting. Transfers begin and end one after another, in the order
  // of these calls. Device memory is touched once `after` is reached, or at once if it is null. The mark
  // stays as long as the tensor does, and is not set again meanwhile. The link waits for nothing else that a
  // backend has queued.
  virtual void begin(uint64_t job, Tensor rows, const Mark* after) = 0;
  void begin(uint64_t job, Tensor rows) { begin(job, rows, nullptr); }
  virtual LinkState poll() = 0;
  // Returns how many of all transfers begun had ended at the last poll().
  virtual uint64_t ended() const = 0;
  // Begins to end the link, whatever it is doing, and does not wait: poll() says failed once nothing touches
  // the tensors any more. begin() must not be called afterwards.
  virtual void abort() = 0;
  // Returns why the link failed, once poll() has said so.
  virtual std::string failure() const = 0;
};

// Checks in begin() of every link that there is room, with `under_way` transfers under way already.
inline void check_room(uint64_t under_way) {
  check(under_way < kMostTransfers, "a link has at most ", kMostTransfers, " transfers under way");
}

}  // namespace uhd
