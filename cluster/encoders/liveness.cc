#include "cluster/encoders/liveness.h"

#include <algorithm>

namespace uhd {

void EncoderLiveness::joined(Encoder encoder, TimePoint at) { peers_[encoder] = Peer{.heard = at}; }

void EncoderLiveness::heard(Encoder encoder, TimePoint at) {
  if (const auto peer = peers_.find(encoder); peer != peers_.end()) {
    peer->second.heard = std::max(peer->second.heard, at);
  }
}

void EncoderLiveness::left(Encoder encoder) { peers_.erase(encoder); }

void EncoderLiveness::Line::add(Job job, TimePoint at) {
  if (jobs.empty()) begun = at;
  jobs.insert(job);
}

bool EncoderLiveness::Line::drop(Job job, TimePoint at) {
  const auto found = jobs.find(job);
  if (found == jobs.end()) return false;
  if (found == jobs.begin()) begun = std::max(begun, at);
  jobs.erase(found);
  return true;
}

bool EncoderLiveness::Peer::drop(Job job, TimePoint at) {
  if (encoding.drop(job, at)) return true;
  if (announced.erase(job) == 0 && !fetching.drop(job, at)) return false;
  // Its rows made room at the encoder for the jobs sent after it.
  const auto next = encoding.jobs.begin();
  if (next != encoding.jobs.end() && *next > job) encoding.begun = std::max(encoding.begun, at);
  return true;
}

std::optional<EncoderLiveness::Job> EncoderLiveness::Peer::late(TimePoint now, Duration deadline) const {
  const auto is_late = [&](const Line& line) { return !line.jobs.empty() && now - line.begun >= deadline; };
  if (is_late(fetching)) return *fetching.jobs.begin();
  if (announced.empty() && is_late(encoding)) return *encoding.jobs.begin();
  return std::nullopt;
}

void EncoderLiveness::job_sent(Encoder encoder, Job job, TimePoint at) {
  if (const auto peer = peers_.find(encoder); peer != peers_.end()) peer->second.encoding.add(job, at);
}

void EncoderLiveness::job_encoded(Encoder encoder, Job job, TimePoint at) {
  const auto peer = peers_.find(encoder);
  if (peer != peers_.end() && peer->second.encoding.drop(job, at)) peer->second.announced.insert(job);
}

void EncoderLiveness::fetch_begun(Encoder encoder, Job job, TimePoint at) {
  const auto found = peers_.find(encoder);
  if (found == peers_.end() || found->second.announced.erase(job) == 0) return;
  Peer& peer = found->second;
  peer.fetching.add(job, at);
  if (peer.announced.empty()) peer.encoding.begun = std::max(peer.encoding.begun, at);
}

void EncoderLiveness::job_answered(Encoder encoder, Job job, TimePoint at) {
  const auto peer = peers_.find(encoder);
  if (peer != peers_.end() && peer->second.drop(job, at)) peer->second.strikes = 0;
}

void EncoderLiveness::job_dropped(Encoder encoder, Job job, TimePoint at) {
  if (const auto peer = peers_.find(encoder); peer != peers_.end()) peer->second.drop(job, at);
}

EncoderLiveness::Verdict EncoderLiveness::tick(TimePoint now) {
  Verdict verdict;
  for (auto& [encoder, peer] : peers_) {
    if (now - peer.heard >= limits_.lost_after) {
      verdict.lost.push_back(encoder);
      continue;
    }
    const std::optional<Job> late = peer.late(now, limits_.job_deadline);
    if (!late) continue;
    verdict.overdue.push_back({encoder, *late});
    peer.drop(*late, now);
    if (++peer.strikes >= limits_.strikes) verdict.stuck.push_back(encoder);
  }
  for (Encoder encoder : verdict.lost) peers_.erase(encoder);
  for (Encoder encoder : verdict.stuck) peers_.erase(encoder);
  return verdict;
}

std::optional<TimePoint> EncoderLiveness::next_deadline() const {
  std::optional<TimePoint> next;
  const auto take = [&](TimePoint t) { next = next ? std::min(*next, t) : t; };
  for (const auto& [encoder, peer] : peers_) {
    take(peer.heard + limits_.lost_after);
    if (!peer.fetching.jobs.empty()) take(peer.fetching.begun + limits_.job_deadline);
    if (peer.announced.empty() && !peer.encoding.jobs.empty())
      take(peer.encoding.begun + limits_.job_deadline);
  }
  return next;
}

StepLiveness::StepLiveness(Duration deadline)
    : deadline_(deadline), interval_(std::min(deadline / 16, from_seconds(1))) {}

void StepLiveness::started(uint64_t step, TimePoint at) {
  step_ = step;
  running_ = true;
  looked_ = at;
  age_ = Duration::zero();
}

void StepLiveness::finished(TimePoint at) {
  running_ = false;
  last_finished_ = at;
}

std::optional<uint64_t> StepLiveness::tick(TimePoint now) {
  if (!running_) return std::nullopt;
  age_ += std::min(now - looked_, 2 * interval_);
  looked_ = now;
  if (age_ < deadline_) return std::nullopt;
  running_ = false;
  return step_;
}

std::optional<TimePoint> StepLiveness::next_tick() const {
  if (!running_) return std::nullopt;
  return looked_ + interval_;
}

}  // namespace uhd
