// SliceEncoders turn slices into rows, on this rank between steps or on encoder ranks. The leader's loop sees
// no difference.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/slices/encoder_pool.h"
#include "engine/slices/row_buffers.h"
#include "kernels/tensor.h"

namespace uhd {

// Runs the vision tower and the resampler: rows [sum of the slices' rows, H], slice after slice. Slices of
// one call have equal shape.
using EncodeSlices = std::function<void(std::span<const Slice* const> slices, Tensor rows)>;

// An EncodedSlice has ended. If it is ok, `rows` hold it; else `reason` says why not.
struct EncodedSlice {
  Fingerprint fingerprint;
  bool ok = false;
  bool no_encoder = false;  // true if it failed because there was no encoder
  std::string reason;
  StagedRows rows;
  TimePoint first_sent;
};

// The engine's thread uses these.
class SliceEncoders {
 public:
  virtual ~SliceEncoders() = default;
  // Adds a slice; each fingerprint may be there once at a time. It ends in one EncodedSlice unless cancel()
  // says that it is gone.
  virtual void add(SliceJob job, TimePoint now) = 0;
  // Returns true if the slice had not started and is gone.
  virtual bool cancel(const Fingerprint& fingerprint) = 0;
  // Does a bounded piece of work, and returns the slices that ended since the last call. `gently` says that
  // sequences are running, so the piece should be small.
  virtual std::vector<EncodedSlice> poll(TimePoint now, bool gently) = 0;
  // Returns when poll() should be called again at the latest, if nobody wakes the engine.
  virtual std::optional<TimePoint> next_poll(TimePoint now) const = 0;
  virtual int encoders() const = 0;
  virtual int queued() const = 0;
};

// Returns the indices of one forward pass: the first of the waiting slices and those after it of equal shape,
// as many as `batch_patches` allow (at least one), and at most `most`. Slices of several requests share a
// pass; nothing is padded.
std::vector<size_t> choose_batch(std::span<const Slice* const> waiting, int64_t batch_patches, int patch,
                                 size_t most);

}  // namespace uhd
