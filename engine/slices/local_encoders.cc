#include "engine/slices/local_encoders.h"

#include <algorithm>
#include <cmath>

namespace uhd {

void LocalEncoders::add(SliceJob job, TimePoint) {
  turns_.enter(job.client);
  queue_.push_back(std::move(job));
}

bool LocalEncoders::cancel(const Fingerprint& fingerprint) {
  const auto at =
      std::ranges::find_if(queue_, [&](const SliceJob& j) { return j.slice->fingerprint == fingerprint; });
  if (at == queue_.end()) return false;
  turns_.leave(at->client);
  queue_.erase(at);
  return true;
}

std::vector<EncodedSlice> LocalEncoders::poll(TimePoint now, const EncodingTurn& turn) {
  if (!pass_.parts && may_encode()) begin(take_batch(pass_patches(turn)), now);
  if (pass_.parts) advance(turn.seconds);
  std::vector<EncodedSlice> ended;
  while (!made_.empty() && settle(made_.front(), now)) {
    ended.push_back(std::move(made_.front()));
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

// The queue is not empty. The slice whose turn it is opens the batch.
std::vector<SliceJob> LocalEncoders::take_batch(int64_t patches) {
  const std::string* client = turns_.choose([](const std::string&) { return true; });
  const auto next = std::ranges::find(queue_, *client, &SliceJob::client);
  std::rotate(queue_.begin(), next, next + 1);
  std::vector<const Slice*> waiting;
  for (const SliceJob& job : queue_) waiting.push_back(job.slice.get());
  const std::vector<size_t> chosen = choose_batch(waiting, patches, patch_, buffers_.free());
  std::vector<SliceJob> batch;
  batch.reserve(chosen.size());
  for (size_t i : chosen) {
    turns_.charge(queue_[i].client, static_cast<double>(queue_[i].patches));
    batch.push_back(std::move(queue_[i]));
  }
  for (const SliceJob& job : batch) turns_.leave(job.client);
  std::erase_if(queue_, [](const SliceJob& job) { return job.slice == nullptr; });
  return batch;
}

void LocalEncoders::begin(std::vector<SliceJob> batch, TimePoint now) {
  pass_.jobs = std::move(batch);
  pass_.items.clear();
  pass_.done.clear();
  for (const SliceJob& job : pass_.jobs) pass_.items.push_back({job.slice.get(), job.rows});
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
    for (size_t i = 0; i < pass.count; ++i) {
      const SliceJob& job = pass_.jobs[pass.first + i];
      EncodedSlice& slice = made_.emplace_back();
      slice.fingerprint = job.slice->fingerprint;
      slice.first_sent = pass_.begun;
      slice.course = {.sent = pass_.begun, .begun = pass_.begun, .encoded = now};
      slice.patches = job.patches;
      if (buffers_.backend().host_memory()) slice.seconds = pass.seconds / static_cast<double>(pass.count);
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
bool LocalEncoders::settle(EncodedSlice& slice, TimePoint now) {
  if (!slice.ok) return true;
  const std::optional<bool> finite = slice.rows.finite();
  if (!finite) return false;
  if (!buffers_.backend().host_memory()) {
    slice.seconds = seconds(now - std::max(slice.first_sent, settled_));
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
