#include "engine/slices/local_encoders.h"

#include <algorithm>
#include <cmath>

namespace uhd {

void LocalEncoders::add(SliceJob job, TimePoint) {
  const std::string client = job.client;
  const Urgency urgency = job.urgency;
  const auto patches = static_cast<double>(job.patches);
  queue_.push(client, urgency, patches, std::move(job));
}

bool LocalEncoders::cancel(const Fingerprint& fingerprint) {
  const auto is_it = [&](const SliceJob& job) { return job.slice->fingerprint == fingerprint; };
  if (queue_.erase_if(is_it) > 0) return true;
  // The slices of a pass end together.
  if (!pass_.parts || pass_.jobs.size() > 1 || !is_it(pass_.jobs.front())) return false;
  pass_.parts = {};
  pass_ = {};
  return true;
}

void LocalEncoders::hasten(const Fingerprint& fingerprint, const Urgency& urgency) {
  queue_.hasten(urgency, [&](const SliceJob& job) { return job.slice->fingerprint == fingerprint; });
}

std::vector<EncodedSlice> LocalEncoders::poll(TimePoint now, const EncodingTurn& turn) {
  if (!pass_.parts && may_encode()) begin(take_batch(pass_patches(turn), now), now);
  if (pass_.parts) advance(turn.seconds);
  std::vector<EncodedSlice> ended;
  while (!made_.empty() && settle(made_.front(), now)) {
    ended.push_back(std::move(made_.front().slice));
    made_.pop_front();
  }
  return ended;
}

std::optional<TimePoint> LocalEncoders::next_poll(TimePoint now) const {
  if (may_encode()) return now;
  return queue_.empty() && made_.empty() ? std::nullopt : std::optional(now + kLookAtDevice);
}

// A pass takes at least one slice, whatever this returns.
int64_t LocalEncoders::pass_patches(const EncodingTurn& turn) const {
  if (turn.others_decode) return 1;
  if (!std::isfinite(turn.seconds)) return batch_patches_;
  if (!part_.known()) return 1;
  const double patches = turn.seconds / part_.seconds_per_unit();
  return patches < static_cast<double>(batch_patches_) ? static_cast<int64_t>(patches) : batch_patches_;
}

// The queue is not empty, and there are buffers.
std::vector<SliceJob> LocalEncoders::take_batch(int64_t patches, TimePoint now) {
  std::vector<SliceJob> batch;
  batch.push_back(queue_.take(now));
  PassRoom room(patches, buffers_.free());
  room.take(batch.front().patches);
  while (auto next = queue_.take(now, [&](const SliceJob& job) { return room.holds(job.patches); })) {
    room.take(next->patches);
    batch.push_back(std::move(*next));
  }
  return batch;
}

void LocalEncoders::begin(std::vector<SliceJob> batch, TimePoint now) {
  pass_.jobs = std::move(batch);
  pass_.items.clear();
  pass_.done.clear();
  for (const SliceJob& job : pass_.jobs) pass_.items.push_back({job.slice.get(), job.rows, job.patches});
  pass_.begun = now;
  pass_.parts = batches_.encode(pass_.items, pass_.done);
}

// Parts of a pass take about equally long.
void LocalEncoders::advance(double most_seconds) {
  int64_t patches = 0;
  for (const SliceJob& job : pass_.jobs) patches += job.patches;
  const TimePoint start = Clock::now();
  TimePoint before = start, after = start;
  do {
    before = after;
    if (!pass_.parts.advance()) return take_passes();
    after = Clock::now();
    part_.measured(static_cast<double>(patches), seconds(after - before));
  } while (seconds(after - start) + seconds(after - before) <= most_seconds);
}

void LocalEncoders::take_passes() {
  const TimePoint now = Clock::now();
  for (BatchEncoder::Pass& pass : pass_.done) {
    if (pass.failure.empty() && buffers_.backend().host_memory()) {
      speed_.measured(static_cast<double>(pass.patches), pass.seconds);
    }
    for (size_t i = 0; i < pass.count; ++i) {
      const SliceJob& job = pass_.jobs[pass.first + i];
      made_.push_back({{}, job.patches});
      EncodedSlice& slice = made_.back().slice;
      slice.fingerprint = job.slice->fingerprint;
      slice.first_sent = pass_.begun;
      slice.course = {.sent = pass_.begun, .begun = pass_.begun, .encoded = now};
      slice.ok = pass.failure.empty();
      if (slice.ok) {
        slice.rows = std::move(pass.rows[i]);
        slice.rows.judge();
      } else {
        slice.reason = "the encoder failed";
      }
    }
  }
  pass_ = {};
}

// Returns whether it is known how the slice ended.
bool LocalEncoders::settle(Made& made, TimePoint now) {
  EncodedSlice& slice = made.slice;
  if (!slice.ok) return true;
  const std::optional<bool> finite = slice.rows.finite();
  if (!finite) return false;
  if (!buffers_.backend().host_memory()) {
    const double took = seconds(now - std::max(slice.first_sent, settled_));
    if (*finite) speed_.measured(static_cast<double>(made.patches), took);
    slice.course.encoded = now;
  }
  settled_ = now;
  if (!*finite) {
    slice.ok = false;
    slice.reason = "the encoder's result is not a number";
    slice.rows = {};
  }
  return true;
}

}  // namespace uhd
