// The leader encodes slices itself, a bounded batch between two steps, so that decoding is never starved for
// longer.
#pragma once

#include <deque>

#include "engine/slice_encoders.h"

namespace uhd {

class LocalEncoders final : public SliceEncoders {
 public:
  LocalEncoders(EncodeSlices encode, RowBuffers& buffers, int64_t batch_patches, int patch)
      : encode_(std::move(encode)), buffers_(buffers), batch_patches_(batch_patches), patch_(patch) {}

  void add(SliceJob job, TimePoint now) override;
  bool cancel(const Fingerprint& fingerprint) override;
  std::vector<EncodedSlice> poll(TimePoint now, bool gently) override;
  std::optional<TimePoint> next_poll(TimePoint now) const override;
  int encoders() const override { return 1; }
  int queued() const override { return static_cast<int>(queue_.size()); }

 private:
  std::vector<SliceJob> take_batch(int64_t patches);
  std::vector<EncodedSlice> encode(std::span<const SliceJob> batch, TimePoint now);
  EncodedSlice finished(const SliceJob& job, Tensor rows, TimePoint started);

  EncodeSlices encode_;
  RowBuffers& buffers_;
  int64_t batch_patches_;
  int patch_;
  std::deque<SliceJob> queue_;
  DeviceBuffer batch_rows_;  // grows to the largest batch
};

}  // namespace uhd
