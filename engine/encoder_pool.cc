#include "engine/encoder_pool.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace uhd {

void EncoderPool::add(SliceJob job, TimePoint now) {
  queue_.push_back({std::move(job), 0, std::nullopt, std::nullopt});
  if (encoders_.empty() && !empty_since_) empty_since_ = now;
}

bool EncoderPool::cancel(const Fingerprint& fingerprint) {
  return std::erase_if(queue_, [&](const Waiting& w) { return w.job.slice->fingerprint == fingerprint; }) > 0;
}

void EncoderPool::joined(EncoderId encoder, int capacity, TimePoint now) {
  encoders_[encoder] = {std::max(1, capacity), 0, 0};
  liveness_.joined(encoder, now);
  empty_since_.reset();
}

void EncoderPool::left(EncoderId encoder, const std::string& reason, TimePoint now) {
  liveness_.left(encoder);
  // From the last to the first, for each goes to the front of the queue: order is kept.
  std::vector<JobId> lost;
  for (const auto& [job, flight] : flights_) {
    if (flight.encoder == encoder) lost.push_back(job);
  }
  for (auto job = lost.rbegin(); job != lost.rend(); ++job) {
    try_again(land(flights_.find(*job)), encoder, message("the encoder was lost: ", reason));
  }
  encoders_.erase(encoder);
  if (encoders_.empty() && !queue_.empty() && !empty_since_) empty_since_ = now;
}

std::vector<EncoderPool::Send> EncoderPool::dispatch(TimePoint now) {
  std::vector<Send> sends;
  while (!queue_.empty()) {
    const std::optional<EncoderId> encoder = choose(queue_.front());
    if (!encoder) break;
    Waiting waiting = std::move(queue_.front());
    queue_.pop_front();
    if (!waiting.first_sent) waiting.first_sent = now;
    ++waiting.tries;
    Peer& peer = encoders_.at(*encoder);
    ++peer.jobs;
    peer.patches += waiting.job.patches;
    const JobId job = ++last_job_;
    liveness_.job_sent(*encoder, job, now);
    sends.push_back({*encoder, job, waiting.job.slice});
    flights_.emplace(job, Flight{std::move(waiting), *encoder});
  }
  return sends;
}

std::optional<SliceJob> EncoderPool::encoded(EncoderId encoder, JobId job, TimePoint now) {
  liveness_.heard(encoder, now);
  const auto flight = flight_of(encoder, job);
  if (flight == flights_.end()) return std::nullopt;
  return flight->second.waiting.job;
}

void EncoderPool::received(EncoderId encoder, JobId job, TimePoint now) {
  liveness_.heard(encoder, now);
  const auto flight = flight_of(encoder, job);
  if (flight == flights_.end()) return;
  liveness_.job_answered(encoder, job);
  const Waiting waiting = land(flight);
  outcomes_.push_back({waiting.job.slice->fingerprint, true, false, "", *waiting.first_sent});
}

void EncoderPool::failed(EncoderId encoder, JobId job, const std::string& reason, TimePoint now) {
  liveness_.heard(encoder, now);
  const auto flight = flight_of(encoder, job);
  if (flight == flights_.end()) return;
  liveness_.job_answered(encoder, job);
  try_again(land(flight), encoder, reason);
}

std::vector<EncoderPool::Outcome> EncoderPool::take_outcomes() { return std::exchange(outcomes_, {}); }

EncoderPool::Verdict EncoderPool::tick(TimePoint now) {
  Verdict verdict;
  const EncoderLiveness::Verdict found = liveness_.tick(now);
  for (const auto& overdue : found.overdue) {
    const auto flight = flight_of(overdue.encoder, overdue.job);
    if (flight == flights_.end()) continue;
    verdict.cancel.push_back({overdue.encoder, overdue.job});
    try_again(land(flight), overdue.encoder, "the encoder took too long");
  }
  for (EncoderId encoder : found.lost) verdict.close.emplace_back(encoder, "quiet for too long");
  for (EncoderId encoder : found.stuck) verdict.close.emplace_back(encoder, "too slow twice in a row");
  for (const auto& [encoder, reason] : verdict.close) left(encoder, reason, now);
  if (empty_since_ && now - *empty_since_ >= limits_.no_encoder_wait) {
    for (const Waiting& waiting : queue_) {
      outcomes_.push_back({waiting.job.slice->fingerprint, false, true, "no encoder is there", now});
    }
    queue_.clear();
    empty_since_.reset();
  }
  return verdict;
}

std::optional<TimePoint> EncoderPool::next_deadline() const {
  std::optional<TimePoint> next = liveness_.next_deadline();
  if (empty_since_) {
    const TimePoint give_up = *empty_since_ + limits_.no_encoder_wait;
    next = next ? std::min(*next, give_up) : give_up;
  }
  return next;
}

std::optional<EncoderId> EncoderPool::choose(const Waiting& waiting) const {
  const bool others = !waiting.avoid || encoders_.size() > (encoders_.contains(*waiting.avoid) ? 1u : 0u);
  std::optional<EncoderId> best;
  for (const auto& [id, peer] : encoders_) {
    if (peer.jobs >= peer.capacity) continue;
    if (others && waiting.avoid == id) continue;
    if (!best || peer.patches < encoders_.at(*best).patches) best = id;
  }
  return best;
}

EncoderPool::Waiting EncoderPool::land(std::map<JobId, Flight>::iterator flight) {
  Waiting waiting = std::move(flight->second.waiting);
  Peer& peer = encoders_.at(flight->second.encoder);
  --peer.jobs;
  peer.patches -= waiting.job.patches;
  flights_.erase(flight);
  return waiting;
}

void EncoderPool::try_again(Waiting waiting, EncoderId avoid, const std::string& reason) {
  if (waiting.tries > limits_.retries) {
    outcomes_.push_back({waiting.job.slice->fingerprint, false, false, reason, *waiting.first_sent});
    return;
  }
  ++retries_;
  waiting.avoid = avoid;
  queue_.push_front(std::move(waiting));
}

std::map<JobId, EncoderPool::Flight>::iterator EncoderPool::flight_of(EncoderId encoder, JobId job) {
  const auto flight = flights_.find(job);
  return flight != flights_.end() && flight->second.encoder == encoder ? flight : flights_.end();
}

}  // namespace uhd
