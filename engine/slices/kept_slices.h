// KeptSlices keep the rows of encoded slices in host memory, beyond what the ranks' stores hold, and give
// them back instead of having them encoded again.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/metrics.h"
#include "engine/slices/slice_encoders.h"

namespace uhd {

// A layer around other encoders. A slice's fingerprint names its tenant and the model, so nobody gets
// another's rows. Memory is taken as slices come, up to the limit; then the least recently used go. Rows that
// come faster than a device hands them over are not kept.
class KeptSlices final : public SliceEncoders {
 public:
  // The buffers and metrics are borrowed.
  KeptSlices(std::unique_ptr<SliceEncoders> encoders, RowBuffers& buffers, int64_t most_bytes,
             Metrics& metrics);

  void add(SliceJob job, TimePoint now) override;
  bool cancel(const Fingerprint& fingerprint) override;
  void hasten(const Fingerprint& fingerprint, const Urgency& urgency) override {
    encoders_->hasten(fingerprint, urgency);
  }
  std::vector<EncodedSlice> poll(TimePoint now, const EncodingTurn& turn) override;
  std::optional<TimePoint> next_poll(TimePoint now) const override;
  bool keeps(const Fingerprint& slice) const override { return kept_.contains(slice); }
  int encoders() const override { return encoders_->encoders(); }
  std::optional<double> patch_seconds() const override { return encoders_->patch_seconds(); }
  int queued() const override { return encoders_->queued() + static_cast<int>(wanted_.size()); }

 private:
  struct Kept {
    Fingerprint fingerprint;
    std::vector<std::byte> rows;
    int64_t count = 0;  // the number of rows
  };
  using Order = std::list<Kept>;  // the most recently used first
  struct Download {
    Fingerprint fingerprint;
    int64_t count = 0;
    std::unique_ptr<Readback> rows;
  };
  void begin_download(const EncodedSlice& slice);
  void end_downloads();
  void keep(const Fingerprint& fingerprint, Tensor rows);
  std::vector<EncodedSlice> take_wanted(TimePoint now);

  std::unique_ptr<SliceEncoders> encoders_;
  RowBuffers& buffers_;
  int64_t most_bytes_;
  Metrics& metrics_;
  int64_t bytes_ = 0;
  Order order_;
  std::unordered_map<Fingerprint, Order::iterator> kept_;
  std::deque<Fingerprint> wanted_;  // kept, and wait for memory on the device; their entries stay
  std::deque<Download> downloads_;
  std::vector<std::unique_ptr<Readback>> spare_;
};

}  // namespace uhd
