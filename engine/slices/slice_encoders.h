// Where slices become rows: on this rank between steps, or on encoder ranks. The leader's loop sees no
// difference.
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

// A slice that ended. ok: `rows` hold it; else `reason` says why not.
struct EncodedSlice {
  Fingerprint fingerprint;
  bool ok = false;
  bool no_encoder = false;  // failed because there was none
  std::string reason;
  StagedRows rows;
  TimePoint first_sent;
};

// Used by the engine's thread.
class SliceEncoders {
 public:
  virtual ~SliceEncoders() = default;
  // One at a time of each fingerprint; ends in one EncodedSlice unless cancel() said that it is gone.
  virtual void add(SliceJob job, TimePoint now) = 0;
  // True: it had not started and is gone.
  virtual bool cancel(const Fingerprint& fingerprint) = 0;
  // Does a bounded piece of work and tells what ended since the last call. gently: sequences are running, so
  // the piece should be small.
  virtual std::vector<EncodedSlice> poll(TimePoint now, bool gently) = 0;
  // When poll() should be called again at the latest, though nobody woke the engine.
  virtual std::optional<TimePoint> next_poll(TimePoint now) const = 0;
  virtual int encoders() const = 0;
  virtual int queued() const = 0;
};

// The first of those that wait and those after it of equal shape, as many as `batch_patches` allow (at least
// one) and `most` of them: indices of one forward pass. Slices of several requests share it; nothing is
// padded.
std::vector<size_t> choose_batch(std::span<const Slice* const> waiting, int64_t batch_patches, int patch,
                                 size_t most);

}  // namespace uhd
