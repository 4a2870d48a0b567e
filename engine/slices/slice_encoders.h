// SliceEncoders turn slices into rows, on this rank between steps or on encoder ranks. The leader's loop sees
// no difference.
#pragma once

#include <cmath>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/parts.h"
#include "engine/slices/encoder_pool.h"
#include "engine/slices/row_buffers.h"
#include "kernels/tensor.h"

namespace uhd {

// Runs the vision tower and the resampler: rows [sum of the slices' rows, H], slice after slice. The next
// call comes after all parts of the last one, or when they were left.
using EncodeSlices = std::function<Parts(std::span<const Slice* const> slices, Tensor rows)>;

// An EncodedSlice has ended. If it is ok, `rows` hold it; else `reason` says why not.
struct EncodedSlice {
  Fingerprint fingerprint;
  bool ok = false;
  bool no_encoder = false;  // true if it failed because there was no encoder
  std::string reason;
  StagedRows rows;
  TimePoint first_sent;
  bool kept = false;   // its rows are those of an earlier time
  SliceCourse course;  // set if it was encoded
};

// An EncodingTurn bounds what an encoder takes at a time of the thread that it shares with the leader.
struct EncodingTurn {
  bool others_decode = false;  // a pass that begins now is of one slice
  double seconds =
      INFINITY;  // a pass stops before the next part would take longer; it gets one part at least
};

// The time between looks at what a device is still doing, which has no way to wake the engine.
inline constexpr Duration kLookAtDevice = std::chrono::microseconds(200);

// The engine's thread uses these.
class SliceEncoders {
 public:
  virtual ~SliceEncoders() = default;
  // Adds a slice; each fingerprint may be there once at a time. It ends in one EncodedSlice unless cancel()
  // says that it is gone.
  virtual void add(SliceJob job, TimePoint now) = 0;
  // Nobody wants the slice any more. Returns true if it is gone; false if it runs on, because its work or the
  // transfer of its rows has begun and is not stopped.
  virtual bool cancel(const Fingerprint& fingerprint) = 0;
  // Somebody else wants a slice that was added and has not ended, and perhaps more urgently.
  virtual void hasten(const Fingerprint& fingerprint, const Urgency& urgency) = 0;
  // Does a bounded piece of work, and returns the slices that ended since the last call.
  virtual std::vector<EncodedSlice> poll(TimePoint now, const EncodingTurn& turn) = 0;
  // Returns when poll() should be called again at the latest, if nobody wakes the engine.
  virtual std::optional<TimePoint> next_poll(TimePoint now) const = 0;
  // Says whether the slice's rows are kept, so that it would not be encoded. It is no use of them.
  virtual bool keeps(const Fingerprint&) const { return false; }
  virtual int encoders() const = 0;
  // Returns the seconds of a patch at the mean of the encoders' speeds of late, once one is known. So
  // `encoders()` of them do together what they do at their own speeds.
  virtual std::optional<double> patch_seconds() const { return std::nullopt; }
  virtual int queued() const = 0;
};

// The room of one forward pass. Its first slice always fits, and others do while patches and slices are left.
// Slices of several requests and shapes share a pass; nothing is padded.
class PassRoom {
 public:
  PassRoom(int64_t patches, size_t slices) : patches_(patches), slices_(slices) {}
  bool holds(int64_t patches) const { return empty_ || (slices_ > 0 && patches <= patches_); }
  void take(int64_t patches) {
    empty_ = false;
    patches_ -= patches;
    --slices_;
  }

 private:
  int64_t patches_;
  size_t slices_;
  bool empty_ = true;
};

}  // namespace uhd
