#include "engine/slices/encoder_pool.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"

namespace uhd {

namespace {

constexpr int kMostJobs = 64;  // at one encoder, whatever it claims: their pixels are on the way to it

}  // namespace

void EncoderPool::add(SliceJob job, TimePoint now) {
  const std::string client = job.client;
  const Urgency urgency = job.urgency;
  const auto patches = static_cast<double>(job.patches);
  queue_.push(client, urgency, patches, {std::move(job), 0, {}, std::nullopt});
  if (encoders_.empty() && !empty_since_) empty_since_ = now;
}

bool EncoderPool::cancel(const Fingerprint& fingerprint, TimePoint now) {
  const auto is_it = [&](const Waiting& w) { return w.job.slice->fingerprint == fingerprint; };
  if (std::erase_if(again_, is_it) + queue_.erase_if(is_it) > 0) return true;
  std::set<EncoderId> working;  // encoders whose oldest slice was passed
  for (auto flight = flights_.begin(); flight != flights_.end(); ++flight) {
    const auto& [waiting, encoder, stage] = flight->second;
    const bool oldest = stage == Stage::sent && working.insert(encoder).second;
    if (!is_it(waiting)) continue;
    if (oldest || stage == Stage::fetched) return false;
    unwanted_.push_back({encoder, flight->first});
    if (stage == Stage::sent) ++encoders_.at(encoder).taken_back;
    liveness_.job_dropped(encoder, flight->first, now);
    land(flight);
    return true;
  }
  return false;
}

void EncoderPool::hasten(const Fingerprint& fingerprint, const Urgency& urgency) {
  queue_.hasten(urgency, [&](const Waiting& w) { return w.job.slice->fingerprint == fingerprint; });
}

void EncoderPool::joined(EncoderId encoder, int capacity, TimePoint now) {
  encoders_[encoder] = {.capacity = std::clamp(capacity, 1, kMostJobs)};
  liveness_.joined(encoder, now);
  empty_since_.reset();
}

void EncoderPool::left(EncoderId encoder, const std::string& reason, TimePoint now) {
  liveness_.left(encoder);
  // Goes from the last to the first, because each goes to the front: so order is kept.
  std::vector<JobId> lost;
  for (const auto& [job, flight] : flights_) {
    if (flight.encoder == encoder) lost.push_back(job);
  }
  for (auto job = lost.rbegin(); job != lost.rend(); ++job) {
    try_again(land(flights_.find(*job)), encoder, message("the encoder was lost: ", reason));
  }
  encoders_.erase(encoder);
  if (encoders_.empty() && queued() > 0 && !empty_since_) empty_since_ = now;
}

std::vector<EncoderPool::Send> EncoderPool::dispatch(TimePoint now) {
  std::vector<Send> sends;
  for (auto at = again_.begin(); at != again_.end();) {
    if (const std::optional<EncoderId> encoder = choose(*at, now)) {
      send(std::move(*at), *encoder, now, sends);
      at = again_.erase(at);
    } else {
      ++at;
    }
  }
  // Where no encoder has room for one of these, none has room for the next.
  while (!queue_.empty()) {
    const std::optional<EncoderId> encoder = choose(queue_.front(now), now);
    if (!encoder) break;
    send(queue_.take(now), *encoder, now, sends);
  }
  return sends;
}

void EncoderPool::send(Waiting waiting, EncoderId encoder, TimePoint now, std::vector<Send>& sends) {
  if (!waiting.first_sent) waiting.first_sent = now;
  waiting.course = {.encoder = encoder, .sent = now};
  ++waiting.tries;
  Peer& peer = encoders_.at(encoder);
  if (peer.jobs == 0) peer.busy_since = now;
  ++peer.jobs;
  peer.patches += waiting.job.patches;
  const JobId job = ++last_job_;
  liveness_.job_sent(encoder, job, now);
  sends.push_back({encoder, job, waiting.job.slice});
  flights_.emplace(job, Flight{std::move(waiting), encoder, Stage::sent});
}

std::optional<SliceJob> EncoderPool::encoded(EncoderId encoder, JobId job, TimePoint now,
                                             const Encoded& told) {
  liveness_.heard(encoder, now);
  reads_its_mail(encoder);
  const auto flight = flight_of(encoder, job);
  if (flight == flights_.end()) {
    // It spent its time on what is no longer its own, and not on its next slice. A slice of the same pass
    // whose rows are on their way still took that time.
    const auto peer = encoders_.find(encoder);
    if (peer != encoders_.end() && !has_rows(encoder)) peer->second.busy_since = now;
    return std::nullopt;
  }
  liveness_.job_encoded(encoder, job, now);
  flight->second.stage = Stage::encoded;
  SliceCourse& course = flight->second.waiting.course;
  ClockOffset& clock = encoders_.at(encoder).clock;
  clock.exchanged(course.sent, told.came, told.left, now);
  note_work(clock, told, now, course);
  return flight->second.waiting.job;
}

// Its encoder may say what it likes: it worked after it was asked, and before it answered. The clocks may be
// wrong by more than a short pass takes, so that the pass is moved into that time and keeps its length.
void EncoderPool::note_work(const ClockOffset& clock, const Encoded& told, TimePoint now,
                            SliceCourse& course) {
  course.begun = now;
  course.encoded = now;
  if (!clock.known() || told.begun == 0) return;
  if (told.ended == 0) {
    course.begun = std::clamp(clock.here(told.begun), course.sent, now);
    course.encoded.reset();
    return;
  }
  if (told.ended < told.begun) return;
  const Duration length = std::min(clock.here(told.ended) - clock.here(told.begun), now - course.sent);
  course.begun = std::clamp(clock.here(told.begun), course.sent, now - length);
  course.encoded = course.begun + length;
}

bool EncoderPool::awaits(EncoderId encoder, JobId job) const {
  const auto flight = flights_.find(job);
  return flight != flights_.end() && flight->second.encoder == encoder;
}

void EncoderPool::fetch_begun(EncoderId encoder, JobId job, TimePoint now) {
  liveness_.fetch_begun(encoder, job, now);
  const auto flight = flight_of(encoder, job);
  if (flight != flights_.end()) flight->second.stage = Stage::fetched;
}

void EncoderPool::received(EncoderId encoder, JobId job, TimePoint now) {
  liveness_.heard(encoder, now);
  const auto flight = flight_of(encoder, job);
  if (flight == flights_.end()) return;
  liveness_.job_answered(encoder, job, now);
  Peer& peer = encoders_.at(encoder);
  ++peer.encoded;
  peer.failures = 0;
  peer.rests_until = {};
  const Waiting waiting = land(flight);
  const double took = seconds(now - std::exchange(peer.busy_since, now));
  peer.speed.measured(static_cast<double>(waiting.job.patches), took);
  outcomes_.push_back({waiting.job.slice->fingerprint, true, false, "", *waiting.first_sent, waiting.course});
}

void EncoderPool::failed(EncoderId encoder, JobId job, const std::string& reason, TimePoint now) {
  liveness_.heard(encoder, now);
  reads_its_mail(encoder);
  const auto flight = flight_of(encoder, job);
  if (flight == flights_.end()) return;
  liveness_.job_answered(encoder, job, now);
  ++encoders_.at(encoder).failed;
  rest(encoders_.at(encoder), now);
  try_again(land(flight), encoder, reason);
}

std::vector<EncoderPool::Outcome> EncoderPool::take_outcomes() { return std::exchange(outcomes_, {}); }

EncoderPool::Verdict EncoderPool::tick(TimePoint now) {
  Verdict verdict{.cancel = std::exchange(unwanted_, {}), .close = {}};
  const EncoderLiveness::Verdict found = liveness_.tick(now);
  for (const auto& overdue : found.overdue) {
    const auto flight = flight_of(overdue.encoder, overdue.job);
    if (flight == flights_.end()) continue;
    verdict.cancel.push_back({overdue.encoder, overdue.job});
    ++encoders_.at(overdue.encoder).failed;
    reads_its_mail(overdue.encoder);  // as far as is known
    rest(encoders_.at(overdue.encoder), now);
    try_again(land(flight), overdue.encoder, "the encoder took too long");
  }
  for (EncoderId encoder : found.lost) verdict.close.emplace_back(encoder, "quiet for too long");
  for (EncoderId encoder : found.stuck) verdict.close.emplace_back(encoder, "too slow, again and again");
  for (const auto& [encoder, reason] : verdict.close) left(encoder, reason, now);
  if (empty_since_ && now - *empty_since_ >= limits_.no_encoder_wait) {
    const auto give_up = [&](const Waiting& waiting) {
      outcomes_.push_back({waiting.job.slice->fingerprint, false, true, "no encoder is there", now});
      return true;
    };
    std::erase_if(again_, give_up);
    queue_.erase_if(give_up);
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

// Chooses first among encoders that did not fail the slice, then among those that do not rest. A slice that
// failed once is no trial for an encoder that failed last.
std::optional<EncoderId> EncoderPool::choose(const Waiting& waiting, TimePoint now) const {
  const auto rank = [&](EncoderId id, const Peer& peer) {
    return (waiting.failed_by.contains(id) ? 4 : 0) + (peer.rests_until > now ? 2 : 0) +
           (waiting.tries > 0 && peer.failures > 0 ? 1 : 0);
  };
  int best_rank = std::numeric_limits<int>::max();
  for (const auto& [id, peer] : encoders_) best_rank = std::min(best_rank, rank(id, peer));
  std::optional<EncoderId> best;
  double soonest = 0;
  const double usual = patch_seconds().value_or(1);  // 1 compares encoders by patches
  for (const auto& [id, peer] : encoders_) {
    if (rank(id, peer) > best_rank || peer.jobs + peer.taken_back >= peer.room()) continue;
    const double ends = static_cast<double>(peer.patches + waiting.job.patches) *
                        (peer.speed.known() ? peer.speed.seconds_per_unit() : usual);
    if (best && ends >= soonest) continue;
    best = id;
    soonest = ends;
  }
  return best;
}

std::vector<EncoderState> EncoderPool::states(TimePoint now) const {
  std::vector<EncoderState> states;
  for (const auto& [id, peer] : encoders_) {
    const double speed = peer.speed.known() ? 1 / peer.speed.seconds_per_unit() : 0;
    states.push_back({id, peer.jobs, speed, peer.rests_until <= now, peer.encoded, peer.failed});
  }
  return states;
}

std::optional<double> EncoderPool::patch_seconds() const {
  double patches_a_second = 0;
  int known = 0;
  for (const auto& [id, peer] : encoders_) {
    if (!peer.speed.known()) continue;
    patches_a_second += 1 / peer.speed.seconds_per_unit();
    ++known;
  }
  return known > 0 ? std::optional(known / patches_a_second) : std::nullopt;
}

// A slice that fails while its encoder rests was sent before the rest, and does not count again.
void EncoderPool::rest(Peer& peer, TimePoint now) {
  constexpr int kMostDoublings = 16;
  if (peer.rests_until > now) return;
  const Duration time = limits_.first_rest * (1 << std::min(peer.failures, kMostDoublings));
  peer.rests_until = now + std::min(time, limits_.longest_rest);
  ++peer.failures;
}

EncoderPool::Waiting EncoderPool::land(std::map<JobId, Flight>::iterator flight) {
  Waiting waiting = std::move(flight->second.waiting);
  Peer& peer = encoders_.at(flight->second.encoder);
  --peer.jobs;
  peer.patches -= waiting.job.patches;
  flights_.erase(flight);
  return waiting;
}

void EncoderPool::try_again(Waiting waiting, EncoderId encoder, const std::string& reason) {
  if (waiting.tries > limits_.retries) {
    outcomes_.push_back({waiting.job.slice->fingerprint, false, false, reason, *waiting.first_sent});
    return;
  }
  ++retries_;
  waiting.failed_by.insert(encoder);
  again_.push_front(std::move(waiting));
}

void EncoderPool::reads_its_mail(EncoderId encoder) {
  if (const auto peer = encoders_.find(encoder); peer != encoders_.end()) peer->second.taken_back = 0;
}

bool EncoderPool::has_rows(EncoderId encoder) const {
  return std::ranges::any_of(flights_, [&](const auto& flight) {
    return flight.second.encoder == encoder && flight.second.stage != Stage::sent;
  });
}

std::map<JobId, EncoderPool::Flight>::iterator EncoderPool::flight_of(EncoderId encoder, JobId job) {
  const auto flight = flights_.find(job);
  return flight != flights_.end() && flight->second.encoder == encoder ? flight : flights_.end();
}

}  // namespace uhd
