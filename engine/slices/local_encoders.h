// The leader encodes slices itself, some layers of a pass between two steps, so that nobody's tokens wait
// longer for somebody's picture than the turn says. Slices go by priority, and clients share the time by
// patches (Turns); the next ones go with the first while the pass has room. A pass takes so many slices
// that one of its parts fits into a turn, as far as the parts before tell: the first is of one slice.
#pragma once

#include <deque>

#include "base/rate.h"
#include "engine/slices/batch_encoder.h"
#include "engine/slices/slice_encoders.h"

namespace uhd {

class LocalEncoders final : public SliceEncoders {
 public:
  LocalEncoders(EncodeSlices encode, RowBuffers& buffers, int64_t batch_patches)
      : batches_(std::move(encode), buffers), buffers_(buffers), batch_patches_(batch_patches) {}

  void add(SliceJob job, TimePoint now) override;
  bool cancel(const Fingerprint& fingerprint) override;
  void hasten(const Fingerprint& fingerprint, const Urgency& urgency) override;
  // The host divides passes. A device only queues a part, so that a pass is queued whole.
  std::vector<EncodedSlice> poll(TimePoint now, const EncodingTurn& turn) override;
  std::optional<TimePoint> next_poll(TimePoint now) const override;
  int encoders() const override { return 1; }
  std::optional<double> patch_seconds() const override {
    return speed_.known() ? std::optional(speed_.seconds_per_unit()) : std::nullopt;
  }
  int queued() const override { return static_cast<int>(queue_.size()); }

 private:
  int64_t pass_patches(const EncodingTurn& turn) const;
  std::vector<SliceJob> take_batch(int64_t patches, TimePoint now);
  bool may_encode() const { return pass_.parts || (!queue_.empty() && buffers_.free() > 0); }
  void begin(std::vector<SliceJob> batch, TimePoint now);
  void advance(double most_seconds);
  void take_passes();
  struct Made {
    EncodedSlice slice;
    int64_t patches = 0;
  };
  bool settle(Made& made, TimePoint now);

  // A batch under way. Its work borrows what lies above it.
  struct Pass {
    std::vector<SliceJob> jobs;
    std::vector<BatchEncoder::Item> items;
    std::vector<BatchEncoder::Pass> done;
    TimePoint begun;
    Parts parts;
  };

  BatchEncoder batches_;
  RowBuffers& buffers_;
  int64_t batch_patches_;
  Turns<SliceJob> queue_;
  Pass pass_;
  Rate part_;              // the time of a part of a pass: seconds for each patch of it
  Rate speed_;             // of whole slices, by patches
  TimePoint settled_;      // the last slice
  std::deque<Made> made_;  // slices in order, until the device has judged them
};

}  // namespace uhd
