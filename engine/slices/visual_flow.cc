#include "engine/slices/visual_flow.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/log.h"

namespace uhd {

void VisualFlow::add(RequestId request, const std::string& client, const Urgency& urgency,
                     std::shared_ptr<VisualSpans> spans) {
  Wanting wanting{client, urgency, std::move(spans)};
  for (const VisualSpan& span : *wanting.spans) wanting.reserved += span.length;
  no_room_.push(client, urgency, wanting.reserved, request);
  requests_.emplace(request, std::move(wanting));
}

void VisualFlow::name(VisualSpans& spans, int image, const std::vector<SliceJob>& pieces) {
  for (VisualSpan& span : spans) {
    if (span.image == image) span.slice = pieces.at(static_cast<size_t>(span.piece)).slice->fingerprint;
  }
}

int VisualFlow::want(RequestId request, int image, std::vector<SliceJob> pieces, TimePoint now, int covered) {
  Wanting& wanting = requests_.at(request);
  check(wanting.has_room, "slices of request ", request, " come before it has room");
  name(*wanting.spans, image, pieces);
  int left_out = 0;
  for (VisualSpan& span : *wanting.spans) {
    if (span.image != image || span.held) continue;
    if (span.position + span.length <= covered && !index_.contains(*span.slice)) {
      ++left_out;
      leave_out(request, span, now);
      continue;
    }
    SliceJob& job = pieces.at(static_cast<size_t>(span.piece));
    const VisualIndex::State state =
        index_.acquire(*span.slice, span.length, [&](int rows) { metrics_.slice_evicted(rows); });
    span.held = true;
    wanting.reserved -= span.length;
    job.client = wanting.client;
    job.urgency = wanting.urgency;
    acquired(request, span, state, std::move(job), now);
  }
  return left_out;
}

int VisualFlow::cached(const VisualSpans& spans, int covered) const {
  std::unordered_set<Fingerprint> wanted;  // of equal slices one is encoded
  int count = 0;
  for (const VisualSpan& span : spans) {
    if (!span.slice) continue;
    const bool there = index_.contains(*span.slice);
    const bool left_out = !there && span.position + span.length <= covered;
    if (there || left_out || encoders_.keeps(*span.slice) || !wanted.insert(*span.slice).second) ++count;
  }
  return count;
}

void VisualFlow::leave_out(RequestId request, VisualSpan& span, TimePoint now) {
  if (std::exchange(span.left_out, true)) return;
  metrics_.slice_left_out(span.length);
  progress_.ready.push_back({request, span.image, true, now, span.piece});
}

void VisualFlow::acquired(RequestId request, VisualSpan& span, VisualIndex::State state, SliceJob job,
                          TimePoint now) {
  const bool added = state == VisualIndex::State::added;
  metrics_.slice_wanted(!added, span.length);
  if (state == VisualIndex::State::arrived) return ready(request, span, {.cached = true, .first_sent = now});
  waiters_[*span.slice].push_back({request, &span, !added, now});
  if (added) {
    encoders_.add(std::move(job), now);
  } else {
    encoders_.hasten(*span.slice, job.urgency);
  }
}

// Fills in whose slice it is.
void VisualFlow::ready(RequestId request, VisualSpan& span, Ready how) {
  span.ready = true;
  how.request = request;
  how.image = span.image;
  how.piece = span.piece;
  if (!span.left_out) progress_.ready.push_back(how);
}

void VisualFlow::drop(RequestId request) {
  const auto found = requests_.find(request);
  if (found == requests_.end()) return;
  const Wanting wanting = std::move(found->second);
  requests_.erase(found);
  if (!wanting.has_room) {
    no_room_.erase_if([&](RequestId waiting) { return waiting == request; });
    return;
  }
  index_.unreserve(wanting.reserved);
  for (const VisualSpan& span : *wanting.spans) {
    if (span.held) let_go(request, *span.slice);
  }
}

void VisualFlow::let_go(RequestId request, const Fingerprint& slice) {
  const auto waiting = waiters_.find(slice);
  if (waiting != waiters_.end()) {
    std::erase_if(waiting->second, [&](const Waiter& w) { return w.request == request; });
  }
  if (!index_.release(slice) || !encoders_.cancel(slice)) return;
  index_.forget(slice);
  waiters_.erase(slice);
}

VisualFlow::Progress VisualFlow::poll(TimePoint now, const EncodingTurn& turn) {
  for (EncodedSlice& slice : encoders_.poll(now, turn)) {
    if (slice.ok && fits(slice)) {
      take_encoded(std::move(slice));
    } else {
      fail_waiters(slice);
    }
  }
  give_room(now);
  return std::exchange(progress_, {});
}

std::vector<Tensor> VisualFlow::take_placements(std::vector<Placement>& placements) {
  placing_ = std::exchange(arrived_, {});
  placements.clear();
  std::vector<Tensor> pieces;
  for (const Arrived& arrived : placing_) {
    placements.push_back(arrived.placement);
    pieces.push_back(arrived.rows.rows);
  }
  return pieces;
}

void VisualFlow::placed() { placing_.clear(); }

void VisualFlow::give_room(TimePoint now) {
  while (!no_room_.empty()) {
    Wanting& wanting = requests_.at(no_room_.front(now));
    if (!index_.reserve(wanting.reserved)) return;
    wanting.has_room = true;
    progress_.room.push_back(no_room_.take(now));
  }
}

bool VisualFlow::fits(const EncodedSlice& slice) const {
  const auto rows = static_cast<int64_t>(index_.rows(slice.fingerprint).size());
  if (slice.rows.rows.rows() == rows) return true;
  log_error("an encoder made another number of rows", "rows", slice.rows.rows.rows(), "agreed", rows);
  return false;
}

void VisualFlow::take_encoded(EncodedSlice slice) {
  const std::span<const int32_t> rows = index_.rows(slice.fingerprint);
  if (slice.kept) {
    metrics_.slice_kept();
  } else {
    const TimePoint now = Clock::now();
    metrics_.slice_encoded(seconds(now - slice.first_sent));
    const std::optional<TimePoint>& encoded = slice.course.encoded;
    if (slice.course.encoder != 0 && encoded) metrics_.slice_transferred(seconds(now - *encoded));
  }
  arrived_.push_back({{{rows.begin(), rows.end()}}, std::move(slice.rows)});
  index_.arrived(slice.fingerprint);
  const auto waiting = waiters_.find(slice.fingerprint);
  if (waiting == waiters_.end()) return;
  for (const Waiter& waiter : waiting->second) {
    ready(waiter.request, *waiter.span,
          {.cached = waiter.cached || slice.kept,
           .first_sent = slice.first_sent,
           .wanted = waiter.since,
           .course = slice.course});
  }
  waiters_.erase(waiting);
}

void VisualFlow::fail_waiters(const EncodedSlice& slice) {
  metrics_.slice_failed();
  log_warning("a slice could not be encoded", "reason", slice.reason);
  const Failure failure =
      slice.no_encoder
          ? Failure{FailureKind::unavailable, "no_encoder", "no encoder is there for the image", 5}
          : Failure{FailureKind::internal, "encoding_failed", "the image could not be encoded", 0};
  const auto waiting = waiters_.find(slice.fingerprint);
  if (waiting != waiters_.end()) {
    for (const Waiter& waiter : waiting->second) {
      progress_.failed.push_back({waiter.request, failure});
      // Its hold is void: a later entry of the same slice is none of its business.
      waiter.span->slice.reset();
      waiter.span->held = false;
    }
    waiters_.erase(waiting);
  }
  index_.forget(slice.fingerprint);
}

}  // namespace uhd
