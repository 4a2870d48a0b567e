// The leader encodes slices itself, a bounded batch between two steps, so that decoding is never starved for
// longer. Clients share its time: the one that has been given the fewest patches goes next, and slices of
// others go with it where they have its shape.
#pragma once

#include <deque>

#include "engine/slices/batch_encoder.h"
#include "engine/slices/slice_encoders.h"

namespace uhd {

class LocalEncoders final : public SliceEncoders {
 public:
  LocalEncoders(EncodeSlices encode, RowBuffers& buffers, int64_t batch_patches, int patch)
      : batches_(std::move(encode), buffers),
        buffers_(buffers),
        batch_patches_(batch_patches),
        patch_(patch) {}

  void add(SliceJob job, TimePoint now) override;
  bool cancel(const Fingerprint& fingerprint) override;
  std::vector<EncodedSlice> poll(TimePoint now, bool gently) override;
  std::optional<TimePoint> next_poll(TimePoint now) const override;
  int encoders() const override { return 1; }
  int queued() const override { return static_cast<int>(queue_.size()); }

 private:
  std::vector<SliceJob> take_batch(int64_t patches);
  bool may_encode() const { return !queue_.empty() && buffers_.free() > 0; }
  void encode(std::span<const SliceJob> batch, TimePoint now);
  static bool settle(EncodedSlice& slice);

  BatchEncoder batches_;
  RowBuffers& buffers_;
  int64_t batch_patches_;
  int patch_;
  std::deque<SliceJob> queue_;
  FairTurns turns_{1};             // in patches, of the clients in the queue
  std::deque<EncodedSlice> made_;  // in order, until the device has judged them
};

}  // namespace uhd
