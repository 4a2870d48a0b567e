#include "engine/slices/visual_flow.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace uhd {

void VisualFlow::want(RequestId request, std::vector<SliceJob> spans, TimePoint now) {
  Wanted wanted;
  for (const SliceJob& job : spans) wanted.fingerprints.push_back(job.slice->fingerprint);
  wanted.jobs = std::move(spans);
  wanted_.emplace(request, std::move(wanted));
  if (!no_room_.empty() || !acquire(request, now)) no_room_.push_back(request);
}

void VisualFlow::drop(RequestId request) {
  std::erase(no_room_, request);
  const auto found = wanted_.find(request);
  if (found == wanted_.end()) return;
  if (found->second.acquired) {
    for (const std::optional<Fingerprint>& held : found->second.fingerprints) {
      if (!held) continue;
      const Fingerprint& fingerprint = *held;
      const auto waiting = waiters_.find(fingerprint);
      if (waiting != waiters_.end()) {
        std::erase_if(waiting->second, [&](const Waiter& w) { return w.request == request; });
      }
      if (index_.release(fingerprint) && encoders_.cancel(fingerprint)) {
        index_.forget(fingerprint);
        waiters_.erase(fingerprint);
      }
    }
  }
  wanted_.erase(found);
}

VisualFlow::Progress VisualFlow::poll(TimePoint now, bool gently) {
  for (EncodedSlice& slice : encoders_.poll(now, gently)) {
    if (slice.ok && fits(slice)) {
      take_encoded(std::move(slice));
    } else {
      fail_waiters(slice);
    }
  }
  while (!no_room_.empty() && acquire(no_room_.front(), now)) no_room_.pop_front();
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

std::span<const int32_t> VisualFlow::rows_of(RequestId request, int span) const {
  return index_.rows(wanted_.at(request).fingerprints.at(static_cast<size_t>(span)).value());
}

bool VisualFlow::acquire(RequestId request, TimePoint now) {
  Wanted& wanted = wanted_.at(request);
  std::vector<VisualIndex::Piece> pieces;
  for (const SliceJob& job : wanted.jobs) pieces.push_back({job.slice->fingerprint, job.rows});
  const auto states = index_.acquire(pieces);
  if (!states) return false;
  wanted.acquired = true;
  int anew = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int span = static_cast<int>(i);
    const Fingerprint& fingerprint = pieces[i].fingerprint;
    const bool added = (*states)[i] == VisualIndex::State::added;
    if ((*states)[i] == VisualIndex::State::arrived) {
      progress_.ready.push_back({request, span, true, now});
      continue;
    }
    waiters_[fingerprint].push_back({request, span, !added});
    if (!added) continue;
    encoders_.add(std::move(wanted.jobs[i]), now);
    ++anew;
  }
  wanted.jobs.clear();
  metrics_.slices(anew, static_cast<int>(pieces.size()) - anew);
  return true;
}

bool VisualFlow::fits(const EncodedSlice& slice) const {
  const auto rows = static_cast<int64_t>(index_.rows(slice.fingerprint).size());
  if (slice.rows.rows.rows() == rows) return true;
  log_error("an encoder made another number of rows", "rows", slice.rows.rows.rows(), "agreed", rows);
  return false;
}

void VisualFlow::take_encoded(EncodedSlice slice) {
  const std::span<const int32_t> rows = index_.rows(slice.fingerprint);
  metrics_.slice_encoded(seconds(Clock::now() - slice.first_sent));
  arrived_.push_back({{{rows.begin(), rows.end()}}, std::move(slice.rows)});
  index_.arrived(slice.fingerprint);
  const auto waiting = waiters_.find(slice.fingerprint);
  if (waiting == waiters_.end()) return;
  for (const Waiter& waiter : waiting->second) {
    progress_.ready.push_back({waiter.request, waiter.span, waiter.cached, slice.first_sent});
  }
  waiters_.erase(waiting);
}

void VisualFlow::fail_waiters(const EncodedSlice& slice) {
  metrics_.slice_failed();
  log_warning("a slice could not be encoded", "reason", slice.reason);
  const Failure failure = slice.no_encoder
                              ? Failure{503, "no_encoder", "no encoder is there for the image", 5}
                              : Failure{500, "encoding_failed", "the image could not be encoded", 0};
  const auto waiting = waiters_.find(slice.fingerprint);
  if (waiting != waiters_.end()) {
    for (const Waiter& waiter : waiting->second) {
      progress_.failed.push_back({waiter.request, failure});
      // Its hold is void: a later entry of the same slice is none of its business.
      wanted_.at(waiter.request).fingerprints[static_cast<size_t>(waiter.span)].reset();
    }
    waiters_.erase(waiting);
  }
  index_.forget(slice.fingerprint);
}

}  // namespace uhd
