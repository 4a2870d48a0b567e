// Rows of visual tokens from one encoder to the leader, in agreed transfers, of which many may be under way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace uhd {

// A new link may have to meet its peer first: its owner polls it until it is no longer connecting. busy: of
// the transfers that were begun some have not ended; done: all have.
enum class LinkState : uint8_t { connecting, idle, busy, done, failed };

enum class LinkEnd : uint8_t { sends, receives };

// The largest transfer either end accepts, and the most of them under way at once.
constexpr size_t kMaxTransferBytes = size_t{256} << 20;
constexpr uint64_t kMostTransfers = 64;

// One end of a link; the leader's end receives, the encoder's sends. Job, rows, width and type are agreed
// over the control channel first (Encoded, Go), so both ends begin() with equal shapes in the same order;
// what arrives is checked against that agreement and its checksum. Whether the values are finite is the
// leader's to check.
//
//   link.begin(job, rows, after);                  // [rows, width], dense, f32 or bf16; as often as wanted
//   link.poll(); ... link.ended() ...              // from the engine's loop; never blocks
//
// The tensor lies in memory that the link reaches (reaches_device) and must stay until the transfer has
// ended, poll() says failed, or the link is destroyed: destruction aborts transfers and returns only when the
// memory will not be touched again, however long that takes. Who must not wait calls abort() first and polls
// until failed. A failed link stays failed; a new one comes with the next Hello.
//
// Used by one thread, its owner: the engine's, which on MPI ranks is the MPI thread and calls MPI itself.
// What may wait inside a library (NCCL) is called by a thread of the link's own.
class VisualLink {
 public:
  virtual ~VisualLink() = default;
  // Whether rows lie in device memory (NCCL) or in host memory (MPI, TCP).
  virtual bool reaches_device() const { return false; }
  // Not while connecting. Transfers begin and end one after another, in the order of these calls. Device
  // memory is touched once `after` is reached, null: at once; it stays as the tensor does, and is not set
  // again meanwhile. Nothing else that a backend has queued is waited for.
  virtual void begin(uint64_t job, Tensor rows, const Mark* after) = 0;
  void begin(uint64_t job, Tensor rows) { begin(job, rows, nullptr); }
  virtual LinkState poll() = 0;
  // Transfers that had ended at the last poll(), of all that were begun.
  virtual uint64_t ended() const = 0;
  // Begins to end the link, whatever it is doing, and does not wait: poll() says failed once nothing touches
  // the tensors any more. No begin() afterwards.
  virtual void abort() = 0;
  // Why it failed, once poll() has said so.
  virtual std::string failure() const = 0;
};

// What every link checks in begin(), `under_way` transfers being so already.
inline void check_room(uint64_t under_way) {
  check(under_way < kMostTransfers, "a link has at most ", kMostTransfers, " transfers under way");
}

}  // namespace uhd
