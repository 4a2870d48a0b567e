// From cut slices to rows that a step can read: what the store holds, what is encoded for another request
// already, what must be encoded, and which rows the next plan places.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/visual_span.h"
#include "engine/metrics.h"
#include "engine/request.h"
#include "engine/slices/row_buffers.h"
#include "engine/slices/slice_encoders.h"
#include "engine/slices/visual_index.h"
#include "engine/step.h"
#include "engine/turns.h"

namespace uhd {

// Used by the engine's thread. References are borrowed. It fills in the spans of the requests that it was
// given: which slice is seen, and when its rows are ready.
class VisualFlow {
 public:
  VisualFlow(int store_rows, SliceEncoders& encoders, Metrics& metrics)
      : index_(store_rows), encoders_(encoders), metrics_(metrics) {}

  // A request with images. It gets room in the store for all of its spans at once, when poll() says so, and
  // keeps it until drop(); one that waits for room holds nothing else (the order in which things are taken:
  // Scheduler). Requests go by priority, and clients take turns by the rows that they were given (Turns).
  void add(RequestId request, const std::string& client, const Urgency& urgency,
           std::shared_ptr<VisualSpans> spans);
  // One image of the request is cut; pieces[i] is piece i of its plan. This only says which slices are seen.
  static void name(VisualSpans& spans, int image, const std::vector<SliceJob>& pieces);
  // Says the same, and that the slices are wanted; the request has room. Those that end within the first
  // `covered` tokens, whose keys and values are kept, are left out where they would have to be encoded.
  // Returns how many were; the image must be cut and wanted again if their keys and values are lost.
  int want(RequestId request, int image, std::vector<SliceJob> pieces, TimePoint now, int covered = 0);
  // Returns how many of these spans would not be encoded for a request whose first `covered` tokens are kept,
  // as an answer counts them (Ready::cached); slices that are not known would. It changes nothing, and is no
  // use of what is there.
  int cached(const VisualSpans& spans, int covered) const;
  // The request has ended: its rows may give way, slices that nobody else wants are not encoded.
  void drop(RequestId request);

  struct Ready {
    RequestId request = 0;
    int image = 0;
    bool cached = false;   // the store held it, another request had it encoded, or it was left out
    TimePoint first_sent;  // set if the slice was encoded
    int piece = 0;
    TimePoint wanted;  // set if the slice was encoded, like its course
    SliceCourse course;
  };
  struct Failed {
    RequestId request = 0;
    Failure failure;
  };
  struct Progress {
    std::vector<RequestId> room;  // they have room now: their images may be cut
    std::vector<Ready> ready;     // one for each span: it can be read in the next step, or was left out
    std::vector<Failed> failed;
  };
  Progress poll(TimePoint now, const EncodingTurn& turn);

  // Rows that arrived and that the next plan must place: fills `placements`, and gives the rows themselves.
  // After the step: placed().
  std::vector<Tensor> take_placements(std::vector<Placement>& placements);
  void placed();
  bool has_placements() const { return !arrived_.empty(); }

  // The store's rows of a span whose slice is known.
  std::span<const int32_t> rows_of(const VisualSpan& span) const { return index_.rows(span.slice.value()); }
  std::optional<TimePoint> next_poll(TimePoint now) const { return encoders_.next_poll(now); }
  const SliceEncoders& encoders() const { return encoders_; }
  void check_integrity() const { index_.check_integrity(); }

 private:
  struct Wanting {
    std::string client;
    Urgency urgency;
    std::shared_ptr<VisualSpans> spans;
    int reserved = 0;  // rows of slices that are not known yet
    bool has_room = false;
  };
  struct Waiter {
    RequestId request = 0;
    VisualSpan* span = nullptr;
    bool cached = false;
    TimePoint since;
  };
  struct Arrived {
    Placement placement;
    StagedRows rows;
  };
  void give_room(TimePoint now);
  void acquired(RequestId request, VisualSpan& span, VisualIndex::State state, SliceJob job, TimePoint now);
  void leave_out(RequestId request, VisualSpan& span, TimePoint now);
  void let_go(RequestId request, const Fingerprint& slice);
  bool fits(const EncodedSlice& slice) const;
  void take_encoded(EncodedSlice slice);
  void fail_waiters(const EncodedSlice& slice);
  void ready(RequestId request, VisualSpan& span, Ready how);

  VisualIndex index_;
  SliceEncoders& encoders_;
  Metrics& metrics_;
  std::unordered_map<RequestId, Wanting> requests_;
  Turns<RequestId> no_room_;
  std::unordered_map<Fingerprint, std::vector<Waiter>> waiters_;
  std::vector<Arrived> arrived_;
  std::vector<Arrived> placing_;
  Progress progress_;
};

}  // namespace uhd
