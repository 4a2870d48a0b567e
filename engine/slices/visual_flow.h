// From cut slices to rows that a step can read: what the store holds, what is encoded for another request
// already, what must be encoded, and which rows the next plan places.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/metrics.h"
#include "engine/request.h"
#include "engine/slices/row_buffers.h"
#include "engine/slices/slice_encoders.h"
#include "engine/slices/visual_index.h"
#include "engine/step.h"

namespace uhd {

// Used by the engine's thread. References are borrowed.
class VisualFlow {
 public:
  VisualFlow(int store_rows, SliceEncoders& encoders, Metrics& metrics)
      : index_(store_rows), encoders_(encoders), metrics_(metrics) {}

  // Every visual span of a request, in order: once all of its images are cut. Requests get room in the store
  // for all of their spans at once, in the order in which they come here, and keep it until drop(); one that
  // waits for room holds nothing but its slices (the order in which things are taken: Scheduler).
  void want(RequestId request, std::vector<SliceJob> spans, TimePoint now);
  // The request has ended: its rows may give way, slices that nobody else wants are not encoded.
  void drop(RequestId request);

  struct Ready {
    RequestId request = 0;
    int span = 0;
    bool cached = false;   // the store held it, or another request had it encoded
    TimePoint first_sent;  // of a slice that was encoded
  };
  struct Failed {
    RequestId request = 0;
    Failure failure;
  };
  struct Progress {
    std::vector<Ready> ready;  // readable in the next step
    std::vector<Failed> failed;
  };
  Progress poll(TimePoint now, bool gently);

  // Rows that arrived and that the next plan must place: fills `placements`, and gives the rows themselves.
  // After the step: placed().
  std::vector<Tensor> take_placements(std::vector<Placement>& placements);
  void placed();
  bool has_placements() const { return !arrived_.empty(); }

  std::span<const int32_t> rows_of(RequestId request, int span) const;
  std::optional<TimePoint> next_poll(TimePoint now) const { return encoders_.next_poll(now); }
  const SliceEncoders& encoders() const { return encoders_; }
  void check_integrity() const { index_.check_integrity(); }

 private:
  struct Wanted {
    std::vector<SliceJob> jobs;  // by span; slices are let go once they need no encoding
    std::vector<std::optional<Fingerprint>> fingerprints;  // by span; none: it failed
    bool acquired = false;
  };
  struct Waiter {
    RequestId request = 0;
    int span = 0;
    bool cached = false;
  };
  struct Arrived {
    Placement placement;
    StagedRows rows;
  };
  bool acquire(RequestId request, TimePoint now);
  bool fits(const EncodedSlice& slice) const;
  void take_encoded(EncodedSlice slice);
  void fail_waiters(const EncodedSlice& slice);

  VisualIndex index_;
  SliceEncoders& encoders_;
  Metrics& metrics_;
  std::unordered_map<RequestId, Wanted> wanted_;
  std::deque<RequestId> no_room_;  // wait for rows, in order
  std::unordered_map<Fingerprint, std::vector<Waiter>> waiters_;
  std::vector<Arrived> arrived_;
  std::vector<Arrived> placing_;
  Progress progress_;
};

}  // namespace uhd
